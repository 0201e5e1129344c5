"""Fused optimisers with one learning rate per part, and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sweep.core.torch_internals import eager
from sweep.training.dual_norms import DualNorms
from sweep.training.parts import named_parameters, unwrapped
from sweep.training.procedures import Phase
from sweep.training.recipe import Recipe

_MOMENTUM = 0.9
_CYCLE_RISE = 0.3  # share of a one-cycle run with rising rate, as in Smith's super-convergence and fastai
_CYCLE_START = 1 / 25  # of the peak
_CYCLE_END = 1e-5  # of the peak


def build_optimizer(
    model: nn.Module, phase: Phase, recipe: Recipe, dual_norms: DualNorms | None = None
) -> torch.optim.Optimizer:
    """The optimiser of one phase; biases and one-dimensional scales are not decayed."""
    layers = Layers.of(model, recipe.layer_decay)
    groups = _groups(model, phase, recipe.weight_decay, layers)
    if dual_norms is not None:
        groups += [
            lr_group(part, lr * factor, 0.0, weights)
            for part, lr in phase.lr.items()
            for factor, weights in layers.split(dual_norms.named_parameters([part]))
        ]
    return OPTIMIZERS[recipe.optimizer]([group for group in groups if group["params"]])


def set_lr(optimizer: torch.optim.Optimizer, recipe: Recipe, progress: float) -> None:
    """Set every group's learning rate at `progress`, the share of the phase's steps already done."""
    factor = SCHEDULES[recipe.schedule](min(max(progress, 0.0), 1.0), recipe.warmup)
    for group in optimizer.param_groups:
        write_lr(group, group["peak_lr"] * factor)


def write_lr(group: dict[str, Any], lr: float | torch.Tensor) -> None:
    """Set a group's learning rate; a tensor keeps its place in memory, which a recorded step reads."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].copy_(lr) if isinstance(lr, torch.Tensor) else group["lr"].fill_(lr)
    else:
        group["lr"] = float(lr)


def scale_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply every group's learning rate."""
    for group in optimizer.param_groups:
        write_lr(group, group["lr"] * factor)


def make_recordable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep the learning rates, and where the optimiser has them its step counts, in tensors of `device`: a recorded step reads them there."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = device.type == "cuda"  # the flag of torch.optim; fused steps on a CPU need none
    # torch.optim would warn once that a capturable step runs uncaptured: the check of a recording does that on purpose.
    optimizer.__dict__["_warned_capturable_if_run_uncaptured"] = True


def portable_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """State of the optimiser with learning rates as plain numbers, so that it can be resumed with and without recorded steps."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = float(group["lr"])
        if "capturable" in group:
            group["capturable"] = False
    return state


@dataclass(frozen=True)
class Layers:
    """Factor of the learning rate of each weight by its layer: `decay` to the power of the layers above it, the head included."""

    numbers: Mapping[str, int]  # of the backbone's weights, 0 nearest to the image
    decay: float

    @classmethod
    def of(cls, model: nn.Module, decay: float) -> Layers:
        """The layers of the classifier's backbone; none where nothing decays."""
        if decay == 1:
            return cls({}, decay)
        from sweep.models.layers import layer_numbers

        numbers = layer_numbers(unwrapped(model).backbone)  # type: ignore[arg-type]
        return cls({f"backbone.{name}": number for name, number in numbers.items()}, decay)

    def split(self, named: Iterable[tuple[str, nn.Parameter]]) -> list[tuple[float, list[nn.Parameter]]]:
        """(factor, weights) of each layer that has some of the named weights, the one nearest to the image first."""
        layers = max(self.numbers.values(), default=0) + 1
        groups: dict[int, list[nn.Parameter]] = {}
        for name, weight in named:
            groups.setdefault(self.numbers.get(name, layers), []).append(weight)
        return [(self.decay ** (layers - number), groups[number]) for number in sorted(groups)]


def _groups(model: nn.Module, phase: Phase, weight_decay: float, layers: Layers) -> list[dict[str, Any]]:
    groups = []
    for part, lr in phase.lr.items():
        for factor, weights in layers.split(named_parameters(model, [part])):
            groups.append(lr_group(part, lr * factor, weight_decay, [weight for weight in weights if weight.ndim > 1]))
            groups.append(lr_group(part, lr * factor, 0.0, [weight for weight in weights if weight.ndim <= 1]))
    return groups


def lr_group(part: str, lr: float, weight_decay: float, weights: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Weights of one part with a common decay; `peak_lr` is what the schedule scales."""
    return {"params": list(weights), "lr": lr, "peak_lr": lr, "weight_decay": weight_decay, "part": part}


def _cosine(progress: float, warmup: float) -> float:
    if progress < warmup:
        return max(progress / warmup, 1e-3)  # a first step with learning rate zero would be wasted
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def _one_cycle(progress: float, _warmup: float) -> float:
    if progress < _CYCLE_RISE:
        return _between(_CYCLE_START, 1.0, progress / _CYCLE_RISE)
    return _between(1.0, _CYCLE_END, (progress - _CYCLE_RISE) / (1 - _CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


OPTIMIZERS: Mapping[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
    "adamw": lambda groups: eager(torch.optim.AdamW)(groups, fused=True),
    "adam": lambda groups: eager(torch.optim.Adam)(groups, fused=True),
    "sgd": lambda groups: eager(torch.optim.SGD)(groups, lr=0.0, momentum=_MOMENTUM, nesterov=True, fused=True),
}

# Share of the steps done, share of warm-up -> factor on the peak learning rate.
SCHEDULES: Mapping[str, Callable[[float, float], float]] = {
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "none": lambda progress, warmup: 1.0,
}
