"""The epsilon sweep on a GPU against one torchattacks call per epsilon on the same card, wall time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from benchmarks.epsilon_sweep import EPSILONS, FIXTURES, baseline, draw, trained, with_torchattacks
from benchmarks.gpu_sizes import Sizes, synchronise
from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.epsilon_sweep import epsilon_sweep

THREATS = ["fgsm", "bim", "pgd", "mifgsm"]
BARS = {"fragile": 6, "ordinary": 4, "adversarial": 3}


def epsilon(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Each model, exact and fast mode, cells that are weaker than torchattacks'."""
    for name in sizes.attacked_models:
        steps = None if sizes.device != "cpu" else 2
        model = trained(name, FIXTURES[name], sizes.device, steps)
        images, labels = (part.to(sizes.device) for part in draw(FIXTURES[name].tested_on, sizes.attacked, seed=10_000))
        images = images[..., : sizes.px, : sizes.px]  # in full size all of it
        yield {"model": name, "images": len(images), **measured(model, images, labels, sizes), "bar": BARS[name]}


def measured(model: nn.Module, images: Tensor, labels: Tensor, sizes: Sizes) -> dict[str, Any]:
    """Seconds of every way, the ratios, and how many cells are weaker."""
    ways: dict[str, Callable[[], Any]] = {
        mode: lambda mode=mode: epsilon_sweep(model, images, labels, THREATS, EPSILONS, AttackOptions(mode=mode))
        for mode in ("exact", "fast")
    }
    one_by_one = AttackOptions(mode="fast", pairs="off")
    ways["fast, one threat and epsilon after the other"] = lambda: epsilon_sweep(
        model, images, labels, THREATS, EPSILONS, one_by_one
    )
    if with_torchattacks():
        ways["torchattacks"] = lambda: baseline(model, images, labels)
    seconds, found = {}, {}
    for way, run in ways.items():
        for _ in range(1 if sizes.device == "cpu" else 2):  # the second time is warm
            synchronise(sizes.device)
            begin = time.perf_counter()
            found[way] = run()
            synchronise(sizes.device)
            seconds[way] = time.perf_counter() - begin
    values: dict[str, Any] = {"seconds": {way: round(value, 4) for way, value in seconds.items()}}
    values["clean_accuracy"] = round(found["exact"].clean_accuracy, 4)
    if "torchattacks" in found:
        values["ratio"] = {mode: round(seconds["torchattacks"] / seconds[mode], 2) for mode in ("exact", "fast")}
        values["weaker_cells"] = {mode: weaker(found[mode], found["torchattacks"]) for mode in ("exact", "fast")}
    return values


def weaker(result: Any, table: dict[str, list[float]]) -> int:
    """Cells in which the sweep leaves more images standing than torchattacks."""
    ours = {name: [result.robust_accuracy(name, eps) for eps in EPSILONS] for name in table}
    return sum(a > b + 1e-6 for name, row in table.items() for a, b in zip(ours[name], row, strict=True))
