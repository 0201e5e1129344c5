"""A training step of each colour module by memory layout, and how near it comes to this CPU's matrix products.

    python -m benchmarks.colorizer_step [--modules coloru deconv] [--rounds 5]

Forward and backward pass of 32 grey images of 128 px, float32, one thread, CPU seconds, medians of interleaved rounds. Beside each
time: its floating-point operations a second as a share of those of a 1,024 x 1,024 matrix product in the same rounds, which is what no
change of layout can go beyond.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sweep.core.devices import cpu_features
from sweep.core.process_settings import as_a_worker
from sweep.models.colorizers import COLORIZERS, build_colorizer

PX, BATCH, SIDE = 128, 32, 1024
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def main() -> None:
    """Print a row a module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", nargs="+", choices=trainable(), default=trainable())
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with as_a_worker(threads=1):
        print(f"{cpu_features()}, one thread; CPU seconds of a step (share of a matrix product's speed)")
        for name in chosen.modules:
            print(f"{name}: {row(name, chosen.rounds)}", flush=True)


def trainable() -> list[str]:
    """The colour modules that have weights."""
    return [name for name, kind in COLORIZERS.items() if kind.learned]


def module(name: str) -> nn.Module:
    """A colour module with its first weights."""
    torch.manual_seed(0)
    return build_colorizer(name)


def row(name: str, rounds: int) -> str:
    """Both layouts side by side."""
    steps = {layout: step_of(module(name), form) for layout, form in LAYOUTS.items()}
    factors = torch.rand(2, SIDE, SIDE)
    calls: dict[str, Callable[[], object]] = {**steps, "product": lambda: torch.mm(factors[0], factors[1])}
    with FlopCounterMode(display=False) as counter:
        steps["contiguous"]()
    seconds = {name: statistics.median(times) for name, times in timed(calls, rounds).items()}
    speed = 2 * SIDE**3 / seconds["product"]
    cells = [
        f"{layout} {seconds[layout]:.2f} s ({counter.get_total_flops() / seconds[layout] / speed:.0%})"
        for layout in steps
    ]
    return f"{', '.join(cells)}, contiguous over channels last {seconds['contiguous'] / seconds['channels last']:.2f}"


def step_of(colorizer: nn.Module, form: torch.memory_format) -> Callable[[], None]:
    """A forward and backward pass of fixed images in this layout."""
    colorizer.to(memory_format=form).train()
    grey: Tensor = torch.rand(BATCH, 1, PX, PX).contiguous(memory_format=form)

    def step() -> None:
        colorizer.zero_grad()
        colorizer(grey).square().mean().backward()

    return step


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each call in each round after the first, which warms up."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            if number:
                found[name].append(time.process_time() - begin)
    return found


if __name__ == "__main__":
    main()
