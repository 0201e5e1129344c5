"""Sizes of the GPU benchmark, full and for its rehearsal on a CPU, and its clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sizes:
    """What `benchmarks.gpu` runs. `models` are (backbone, batch size)."""

    device: str
    px: int
    models: tuple[tuple[str, int], ...]
    steps: int  # of an epoch
    epochs: int  # timed, after one that warms up
    stacked: tuple[tuple[str, int], ...]  # (backbone, seeds)
    texture_batch: int
    repeats: int
    attacked: int  # images
    attacked_models: tuple[str, ...]
    generator_width: int
    generator_steps: int


FULL = Sizes(
    "cuda", 128,
    (("small_cnn", 32), ("resnet18", 32), ("resnet18", 128), ("resnet50", 32), ("mobilenetv2_100", 32), ("vit_tiny_patch16_224", 32)),
    100, 3, (("small_cnn", 16), ("resnet18", 16)), 32, 20, 128, ("fragile", "ordinary", "adversarial"), 32, 30,
)  # fmt: skip
REHEARSAL = Sizes("cpu", 32, (("small_cnn", 4),), 2, 1, (("small_cnn", 2),), 2, 1, 4, ("ordinary",), 4, 1)


def synchronise(device: str) -> None:
    """Wait until the device has done what it was told to."""
    if device != "cpu":
        torch.cuda.synchronize()


def median_ms(work: Callable[[], object], sizes: Sizes) -> float:
    """Median wall milliseconds of `work`, each run awaited; one run before warms up."""
    times = []
    for _ in range(sizes.repeats + 1):
        synchronise(sizes.device)
        begin = time.perf_counter()
        work()
        synchronise(sizes.device)
        times.append(time.perf_counter() - begin)
    return round(1000 * statistics.median(times[1:] or times), 4)
