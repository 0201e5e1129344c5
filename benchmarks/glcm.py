"""Speed of the texture functions against the usual ways, all ratios side by side in one run.

python -m benchmarks.glcm [--rounds 9] [--only hard soft loss] [--default-malloc]

Process CPU time, one thread, rounds interleaved so that a busy machine slows every row alike, medians. The memory
allocator is told to keep its pages (as the training workers do); --default-malloc shows what happens without. The "fast" step is
channels-last, with bf16 where this CPU has it.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable

from sweep.core.devices import cpu_features
from sweep.core.process_settings import KEEP_PAGES

# Set before torch and its allocator start: page faults would otherwise dominate the dense baseline.
ENVIRONMENT = {**KEEP_PAGES, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
BATCH, PX = 32, 128
ANGLES = (0.0, math.pi / 4, math.pi / 2, 3 * math.pi / 4)
Task = Callable[[], object]


def main() -> None:
    """Measure everything once and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=("hard", "soft", "loss"), default=["hard", "soft", "loss"])
    parser.add_argument("--default-malloc", action="store_true")
    options = parser.parse_args()
    if not options.default_malloc and any(os.environ.get(k) != v for k, v in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.glcm", *sys.argv[1:]], os.environ | ENVIRONMENT)
    import torch

    torch.set_num_threads(1)
    milliseconds = measured(tasks(options.only), options.rounds)
    print(table(milliseconds))


def tasks(groups: list[str]) -> dict[str, Task]:
    """The rows of some groups by name; the first of each group is the one that the others are compared with."""
    makers = {"hard": lambda: hard_tasks(64) | hard_tasks(256), "soft": soft_tasks, "loss": loss_tasks}
    return {name: task for group in groups for name, task in makers[group]().items()}


def images() -> object:
    """Smooth random pictures [32, 128, 128] in [0, 1]: neighbours resemble each other, as in speckle."""
    import torch
    from torch.nn import functional

    noise = torch.rand(BATCH, 1, PX + 4, PX + 4, generator=torch.Generator().manual_seed(0))
    smooth = functional.avg_pool2d(noise, 5, 1).squeeze(1)
    low, high = smooth.amin((1, 2), True), smooth.amax((1, 2), True)
    return (smooth - low) / (high - low)


def hard_tasks(levels: int) -> dict[str, Task]:
    """Counts and six properties, four angles, distance one."""
    from skimage.feature import graycomatrix, graycoprops

    from sweep.losses.glcm import PROPERTIES, glcm_features

    batch = (images() * (levels - 1)).round().byte()
    arrays = list(batch.numpy())

    def reference() -> None:
        for array in arrays:
            matrix = graycomatrix(array, [1], ANGLES, levels)
            for name in PROPERTIES:
                graycoprops(matrix, name)

    group = f"hard, {levels} levels"
    return {
        f"{group}: scikit-image": reference,
        f"{group}: plain torch": lambda: glcm_features(batch, levels, backend="scatter"),
        f"{group}: native": lambda: glcm_features(batch, levels, backend="native"),
    }


def soft_tasks(levels: int = 32) -> dict[str, Task]:
    """Forward and backward of a squared distance to a fixed matrix."""
    import torch

    from sweep.losses.glcm import soft_glcm

    batch = (images() * (levels - 1)).requires_grad_()
    target = torch.rand(BATCH, levels, levels, 1, 4, generator=torch.Generator().manual_seed(1))

    def step(matrix: Callable) -> None:
        batch.grad = None
        (matrix(batch) - target).square().mean().backward()

    return {
        "soft, 32 levels: dense Gaussian": lambda: step(lambda x: dense_gaussian(x, levels)),
        "soft, 32 levels: plain torch": lambda: step(lambda x: soft_glcm(x, levels, backend="scatter")),
        "soft, 32 levels: native": lambda: step(lambda x: soft_glcm(x, levels, backend="native")),
    }


def dense_gaussian(batch: object, levels: int, sigma: float = 0.5) -> object:
    """The usual soft histogram: Gaussian memberships anew for each angle, a rolled copy, one dense product."""
    import torch

    centres = torch.arange(levels, dtype=batch.dtype)
    tables = []
    for dy, dx in ((0, 1), (1, 1), (1, 0), (1, -1)):
        inside = torch.ones(PX, PX, 1)
        inside[PX - dy :] = 0
        inside[:, PX - 1 if dx > 0 else 0 : PX if dx > 0 else -dx] = 0
        moved = torch.roll(batch, (-dy, -dx), (1, 2))
        first, second = (torch.exp(-0.5 * ((x[..., None] - centres) / sigma) ** 2) for x in (batch, moved))
        tables.append(torch.einsum("nhwi,nhwj->nij", first * inside, second))
    return torch.stack(tables, -1).unsqueeze(-2)


def loss_tasks() -> dict[str, Task]:
    """The texture loss, forward and backward, beside one training step of a ResNet-18 on the same batch."""
    import torch

    from sweep.losses.glcm import GLCMLoss, KeptTargets

    grey = images().unsqueeze(1)
    noise = torch.randn(BATCH, 3, PX, PX, generator=torch.Generator().manual_seed(2))
    colors = (grey + 0.1 * noise).requires_grad_()
    losses = {way: GLCMLoss(backend=way) for way in ("scatter", "native")}
    kept = losses["native"].target(grey)
    in_training = KeptTargets(losses["native"])

    def step(way: str, target: object = None) -> None:
        colors.grad = None
        losses[way](colors, grey, target).backward()

    def step_in_training() -> None:
        colors.grad = None
        in_training(colors, grey).backward()

    return {
        "loss: ResNet-18 step, fp32": resnet_step(fast=False),
        "loss: ResNet-18 step, fast": resnet_step(fast=True),
        "loss: T+C+ResNet-18 step, fast": resnet_step(fast=True, colorizer="texture_color"),
        "loss: plain torch": lambda: step("scatter"),
        "loss: plain torch, target kept": lambda: step("scatter", kept),
        "loss: native": lambda: step("native"),
        "loss: native, target kept": lambda: step("native", kept),
        "loss: native, target looked up": step_in_training,
    }


def resnet_step(fast: bool, colorizer: str = "none") -> Task:
    """One AdamW step; `fast` means channels-last, and bf16 autocast where this CPU has it. The loss is only ever used with a learned colorizer."""
    import torch
    from torch.nn import functional

    from sweep.models.classifier import ClassifierSpec, build_classifier
    from sweep.training.precision import autocast

    model = build_classifier(
        ClassifierSpec(backbone="resnet18", colorizer=colorizer, num_classes=2, image_px=PX), seed=0
    ).train()
    model = model.to(memory_format=torch.channels_last) if fast else model
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    grey, labels = images().unsqueeze(1), torch.arange(BATCH) % 2

    def step() -> None:
        with autocast("cpu", "auto" if fast else "fp32"):
            loss = functional.cross_entropy(model(grey), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measured(rows: dict[str, Task], rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each task; one round without counting warms caches and compiles kernels."""
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds + 1):
        for name, task in rows.items():
            start = time.process_time()
            task()
            seconds[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(values[1:]) for name, values in seconds.items()}


def table(milliseconds: dict[str, float]) -> str:
    """One line a row: time, and how many times faster than the group's first row (of the loss: share of a step)."""
    lines = [f"batch {BATCH} at {PX} px, one thread, CPU time, {cpu_features()}"]
    for name, value in milliseconds.items():
        group, base = name.split(": ")[0], next(n for n in milliseconds if n.startswith(name.split(": ")[0] + ":"))
        if group == "loss":
            steps = [
                milliseconds[f"loss: {step}"]
                for step in ("ResNet-18 step, fp32", "ResNet-18 step, fast", "T+C+ResNet-18 step, fast")
            ]
            note = "{:7.2%} of the fp32 step {:7.2%} of the fast step {:7.2%} of the fast step with T+C".format(
                *(value / step for step in steps)
            )
        else:
            note = f"{milliseconds[base] / value:7.1f}x"
        lines.append(f"{name:<36} {value:9.2f} ms  {note}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
