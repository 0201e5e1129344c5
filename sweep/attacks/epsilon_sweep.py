"""model, images, threats, epsilons -> the smallest epsilon that breaks each image, in one run instead of one per epsilon.

    result = epsilon_sweep(model, images, labels, ["fgsm", "pgd20"], ["1/255", "2/255"])
    result.robust_accuracy("pgd20", "2/255"), result.worst_case("2/255"), result.passes

Images that are misclassified when clean are never attacked, an image broken at a smaller epsilon is not attacked at a larger
one, and an image leaves the batch with the first point that breaks it. Points that several threats query (the clean image,
the first steps) are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from sweep.attacks import input_checks
from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.batched.search import search_for
from sweep.attacks.chunk import Chunk
from sweep.attacks.fast import network_for
from sweep.attacks.network import Model, Network, Passes, device_of, frozen, normal_tensor
from sweep.attacks.referee import ROUNDING
from sweep.attacks.result import EpsilonSweep
from sweep.attacks.schedule import bisect, narrow_down, try_every_epsilon
from sweep.attacks.threat import Threat
from sweep.attacks.threats import resolve_threats
from sweep.core.devices import float32_products
from sweep.core.epsilon import parse_grid
from sweep.core.errors import InputError, suggestion

MODES = {"exact": try_every_epsilon, "fast": narrow_down}
SAMPLE = 4  # images on which a faster copy of the model is compared with it
CHUNK_BATCHES = 2  # batches whose answers are cached together: bounds memory, still fills batches


def epsilon_sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    threats: Iterable[str | Threat] | Mapping[str, str | Threat],
    epsilons: Iterable[str | float],
    options: AttackOptions | None = None,
) -> EpsilonSweep:
    """Attack `images` [N, C, H, W] in [0, 1] with every threat at every epsilon; the model returns logits [N, K].

    `labels` are class numbers [N], or 0/1 [N, K] for multi-label, where an image stands while all its labels are right.
    Epsilons are in the norm of the threat (grey values 0..1 for Linf). In every mode the model itself, in float32, confirms
    each break. Works inside `torch.no_grad` and `torch.inference_mode`: gradients are computed regardless. InputError for
    input that cannot be attacked meaningfully.
    """
    options = options or AttackOptions()
    rows, grid = resolve_threats(threats), parse_grid(epsilons)
    input_checks.check_images(images)
    labels = input_checks.checked_labels(labels, len(images))
    input_checks.check_model(model, images)
    device = device_of(model)
    size = options.batch_size * CHUNK_BATCHES
    positive = torch.tensor([epsilon for epsilon in grid if epsilon > 0], dtype=torch.float64)
    with ExitStack() as stack:
        stack.enter_context(frozen(model))
        stack.enter_context(float32_products(device, "ieee"))
        images, labels = normal_tensor(images), normal_tensor(labels)
        network = _network(model, options.mode, images[:SAMPLE].to(device))
        search = search_for(network, rows, positive, options, device, MODES[options.mode])
        parts = []
        for start in range(0, len(images), size):
            here = slice(start, start + size)
            chunk = Chunk(network, images[here].to(device), labels[here].to(device), rows, positive, options, start)
            search(chunk)
            if options.refine:
                chunk.refined = {name: bisect(chunk, name, options.refine) for name in rows}
            parts.append(chunk)
    return _joined(parts, rows, grid, labels, network.passes)


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
        worst_only=parts[0].together,
        refined=_gather(parts, lambda part: part.refined),
        examples=_gather(parts, lambda part: part.examples),
        non_finite=_gather(parts, lambda part: part.non_finite),
        no_gradient=_gather(parts, lambda part: part.no_gradient),
        unmoved=_gather(parts, lambda part: part.unmoved),
    )


def _gather(parts: list[Chunk], pick: Callable[[Chunk], dict[str, Tensor]]) -> dict[str, Tensor]:
    picked = [pick(part) for part in parts]
    return {name: torch.cat([item[name] for item in picked]).cpu() for name in picked[0]}


def _on_grid(nearest: Tensor, right: Tensor, grid: tuple[float, ...]) -> Tensor:
    """The smallest epsilon of the grid whose ball holds the breaking point; 0 for clean mistakes, inf beyond the grid."""
    steps = torch.tensor([*(epsilon for epsilon in grid if epsilon > 0), torch.inf], dtype=torch.float64)
    found = steps[torch.searchsorted(steps, nearest - ROUNDING)]
    return torch.where(right, found, 0.0)
