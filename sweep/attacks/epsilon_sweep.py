"""model, images, threats, epsilons -> the smallest epsilon that breaks each image, in one run instead of one per epsilon.

    result = epsilon_sweep(model, images, labels, ["fgsm", "pgd20"], ["1/255", "2/255"])
    result.robust_accuracy("pgd20", "2/255"), result.worst_case("2/255"), result.passes

Only what still stands is attacked: clean mistakes never, an image broken at a smaller epsilon no more, and an image leaves
with the first point that breaks it. Points that several threats ask for (the clean image, the first steps) are asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from sweep.attacks import input_checks
from sweep.attacks.chunk import Chunk
from sweep.attacks.fast import network_for
from sweep.attacks.network import Model, Network, Passes, device_of, frozen
from sweep.attacks.referee import ROUNDING
from sweep.attacks.result import EpsilonSweep
from sweep.attacks.schedule import bisect, narrow_down, try_every_epsilon
from sweep.attacks.threat import Threat
from sweep.attacks.threats import resolve_threats
from sweep.core.epsilon import parse_grid
from sweep.core.errors import InputError, suggestion

MODES = {"exact": try_every_epsilon, "fast": narrow_down}
SAMPLE = 4  # images on which a faster copy of the model is compared with it
CHUNK_BATCHES = 2  # images whose answers are remembered together, in batches: bounds memory, still fills batches


def epsilon_sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    threats: Iterable[str | Threat] | Mapping[str, str | Threat],
    epsilons: Iterable[str | float],
    *,
    seed: int = 0,
    batch_size: int = 64,
    mode: str = "exact",
    worst_only: bool = False,
    refine: int = 0,
    keep_examples: bool = False,
) -> EpsilonSweep:
    """Attack `images` [N, C, H, W] in [0, 1] with every threat at every epsilon; the model returns logits [N, K].

    `labels` are class numbers [N], or 0/1 [N, K] for multi-label, where an image stands while all its labels are right.
    Epsilons are in the norm of the threat (grey values 0..1 for Linf). `mode` exact: float32, and every epsilon is tried
    that one call per epsilon could break; fast: bfloat16 search with float32 verdicts, around each image's border only. In both
    the model itself has the last word on every break.
    `worst_only` attacks what every threat so far has left standing, so only `worst_case` is defined afterwards. `refine`
    halves the gap below each breaking epsilon that many times; `keep_examples` keeps the nearest breaking image of every
    threat. InputError for input that cannot be attacked meaningfully.
    """
    rows, grid = resolve_threats(threats), parse_grid(epsilons)
    input_checks.check_images(images)
    input_checks.check_labels(labels, len(images))
    device = device_of(model)
    size = batch_size * CHUNK_BATCHES
    positive = torch.tensor([epsilon for epsilon in grid if epsilon > 0], dtype=torch.float64)
    with ExitStack() as stack:
        stack.enter_context(frozen(model))
        network = _network(model, mode, images[:SAMPLE].to(device))
        parts = []
        for start in range(0, len(images), size):
            here = slice(start, start + size)
            chunk = Chunk(
                network, images[here].to(device), labels[here].to(device), rows, positive, batch_size,
                seed=seed, start=start, together=worst_only, keep_examples=keep_examples,
            )  # fmt: skip
            MODES[mode](chunk)
            if refine:
                chunk.refined = {name: bisect(chunk, name, refine) for name in rows}
            parts.append(chunk)
    return _joined(parts, rows, grid, labels, network.passes, worst_only)


def _network(model: Model, mode: str, sample: Tensor) -> Network:
    if mode not in MODES:
        raise InputError("mode", f"{mode!r} is unknown", suggestion(mode, MODES))
    return network_for(model, sample, fast=mode == "fast") if isinstance(model, nn.Module) else Network(model)


def _joined(
    parts: list[Chunk],
    threats: dict[str, Threat],
    grid: tuple[float, ...],
    labels: Tensor,
    passes: Passes,
    worst_only: bool,
) -> EpsilonSweep:
    right = torch.cat([part.right for part in parts]).cpu()
    nearest = {name: torch.cat([part.nearest[name] for part in parts]).cpu() for name in threats}
    return EpsilonSweep(
        epsilons=grid,
        breaking_epsilon={name: _on_grid(distance, right, grid) for name, distance in nearest.items()},
        distance={name: torch.where(right, distance, 0.0) for name, distance in nearest.items()},
        clean_right=right,
        logits=torch.cat([part.logits for part in parts]).cpu(),
        labels=labels.cpu(),
        passes=passes.copy(),
        passes_by_threat={name: sum((part.passes[name] for part in parts), Passes()) for name in threats},
        norms={name: threat.norm for name, threat in threats.items()},
        kinds={name: threat.kind for name, threat in threats.items()},
        worst_only=worst_only,
        refined=_gather(parts, lambda part: part.refined),
        examples=_gather(
            parts, lambda part: {n: r.examples for n, r in part.referees.items() if r.examples is not None}
        ),
    )


def _gather(parts: list[Chunk], pick: Callable[[Chunk], dict[str, Tensor]]) -> dict[str, Tensor]:
    picked = [pick(part) for part in parts]
    return {name: torch.cat([item[name] for item in picked]).cpu() for name in picked[0]}


def _on_grid(nearest: Tensor, right: Tensor, grid: tuple[float, ...]) -> Tensor:
    """The smallest epsilon of the grid whose ball holds the breaking point; 0 for clean mistakes, inf beyond the grid."""
    steps = torch.tensor([*(epsilon for epsilon in grid if epsilon > 0), torch.inf], dtype=torch.float64)
    found = steps[torch.searchsorted(steps, nearest - ROUNDING)]
    return torch.where(right, found, 0.0)
