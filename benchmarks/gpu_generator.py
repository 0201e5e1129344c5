"""The paper's WGAN on a GPU against the common public loop on the same card, wall time."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.generator import BATCH, CRITIC_STEPS, check_equal_networks, common_loop, own_loop
from benchmarks.gpu_sizes import Sizes, synchronise

BAR, FULL_LENGTH, FULL_LENGTH_BAR_S = 5.0, 20_000, 90


def generator(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Real images per second of both loops, and what 20,000 steps would take."""
    px, width = sizes.px, sizes.generator_width
    check_equal_networks(px, width)
    images = np.random.default_rng(0).integers(0, 256, (192, px, px), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for index, image in enumerate(images):
            Image.fromarray(image).save(Path(folder) / f"{index:04d}.png")
        loops = {
            "common": common_loop(Path(folder), px, width, sizes.device),
            "own float32": own_loop(images, px, width, "fp32", sizes.device),
            "own": own_loop(images, px, width, "auto", sizes.device),
            "own, not captured": own_loop(images, px, width, "auto", sizes.device, capture=False),
        }
        seconds = {name: per_update(loop, sizes) for name, loop in loops.items()}
    yield {
        "px": px, "width": width,
        "real_images_per_s": {name: round(CRITIC_STEPS * BATCH / value) for name, value in seconds.items()},
        "ratio": round(seconds["common"] / seconds["own"], 2), "bar": BAR,
        "seconds_of_20000_steps": round(FULL_LENGTH * seconds["own"], 1), "bar_s": FULL_LENGTH_BAR_S,
    }  # fmt: skip


def per_update(loop: Iterator[None], sizes: Sizes) -> float:
    """Median seconds of one generator update with its critic updates; five (in the rehearsal one) before warm up."""
    times = []
    for _ in range(sizes.generator_steps + (1 if sizes.device == "cpu" else 5)):
        synchronise(sizes.device)
        begin = time.perf_counter()
        next(loop)
        synchronise(sizes.device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[-sizes.generator_steps :])
