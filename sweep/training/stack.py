"""The weights of several equal models along one leading axis, their forward pass, training step and optimiser."""

# K members, B images of a batch.

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from sweep.training import parts
from sweep.training.augment import AUGMENTATIONS, augment
from sweep.training.dual_norms import DualNorms
from sweep.training.ema import AveragedWeights, Weights
from sweep.training.objective import Objective, Target
from sweep.training.optimizer import OPTIMIZERS, lr_group, portable_state
from sweep.training.precision import autocast
from sweep.training.procedures import Phase
from sweep.training.recipe import Recipe
from sweep.training.step import mix, to_unit_range


class Stack(nn.Module):
    """K models of equal shapes; `base` gives their structure and modes, its own weights are not used.

    A module only so that what takes a model's state (`AveragedWeights`, recordings) takes a stack's.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = len(models)
        self.weights, self.statistics = stack_module_state(list(models))
        self.base = copy.deepcopy(models[0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [K, B, C] of each member's own images [K, B, 1, H, W]; in training mode the members' statistics move."""
        logits: torch.Tensor = vmap(self._of_one, randomness="different")(self.weights, self.statistics, images)
        return logits

    def _of_one(self, weights: Weights, statistics: Weights, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = functional_call(self.base, (weights, statistics), (images,))
        return logits

    def state_dict(self, *_args: Any, **_options: Any) -> Weights:  # type: ignore[override]
        """Stacked weights and buffers themselves, by the names they have in a member."""
        return {**self.weights, **self.statistics}

    @torch.no_grad()
    def load_state_dict(self, state: Weights, *_args: Any, **_options: Any) -> None:  # type: ignore[override]
        """Copy a stacked state in place."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])

    def load(self, members: Sequence[Weights]) -> None:
        """Copy the states of all members in place."""
        self.load_state_dict({name: torch.stack([one[name] for one in members]) for name in members[0]})

    def member(self, place: int) -> Weights:
        """One member's state, as views."""
        return {name: value.detach()[place] for name, value in self.state_dict().items()}

    def train_only(self, chosen: Iterable[str]) -> None:
        """Require gradients of these parts alone."""
        names = tuple(chosen)
        parts.train_only(self.base, names)
        for name, weight in self.weights.items():
            weight.requires_grad_(parts.part_of(name) in names)

    def set_modes(self, frozen_bn: str) -> None:
        """As `parts.set_modes`, for all members."""
        parts.set_modes(self.base, frozen_bn)


@dataclass
class StackedStep:
    """One optimisation step of all members; call it with uint8 images [K, B, H, W], labels [K, B] or [K, B, C] and the members' generators."""

    model: Stack
    optimizer: torch.optim.Optimizer
    objectives: Sequence[Objective]
    recipe: Recipe
    device: torch.device
    dual_norms: DualNorms | None = None
    average: AveragedWeights | None = None
    replays: int = 1

    def __post_init__(self) -> None:
        self.trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        self.augmentation = AUGMENTATIONS[self.recipe.augment]

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, draws: Any) -> list[torch.Tensor]:
        """Update all members; their detached losses [K]."""
        pairs = [
            self._prepared(*member) for member in zip(images, labels, self.objectives, draws.generators, strict=True)
        ]
        inputs, targets = torch.stack([pair[0] for pair in pairs]), [pair[1] for pair in pairs]
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.recipe.precision):
            logits = self.model(inputs)
        losses = torch.stack([target.loss(own) for own, target in zip(logits, targets, strict=True)])
        losses.sum().backward()  # each weight belongs to one member, so the sum gives each its own gradient
        if self.recipe.grad_clip:
            clip_each_member(self.trained, self.recipe.grad_clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        return [losses.detach()]

    def _prepared(
        self, images: torch.Tensor, labels: torch.Tensor, objective: Objective, generator: torch.Generator
    ) -> tuple[torch.Tensor, Target]:
        inputs = augment(to_unit_range(images, self.device), self.augmentation, generator)
        target = Target(objective, labels)
        return mix(inputs, target, self.recipe.mixup, generator) if self.recipe.mixup else (inputs, target)


@torch.no_grad()
def clip_each_member(weights: Sequence[torch.Tensor], most: float) -> None:
    """Scale each member's gradients so that their common norm is at most `most`, as `clip_grad_norm_` does for one model."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norms_K = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factor_K = (most / (norms_K + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor_K.view(-1, *(1,) * (gradient.ndim - 1)))


def stacked_optimizer(stack: Stack, phase: Phase, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser of one phase for all members, in the groups and the order of `build_optimizer`."""
    groups = []
    for part, lr in phase.lr.items():
        weights = [weight for name, weight in stack.weights.items() if parts.part_of(name) == part]
        groups.append(lr_group(part, lr, recipe.weight_decay, [weight for weight in weights if weight.ndim > 2]))
        groups.append(lr_group(part, lr, 0.0, [weight for weight in weights if weight.ndim <= 2]))
    return OPTIMIZERS[recipe.optimizer]([group for group in groups if group["params"]])


def member_optimizer_state(optimizer: torch.optim.Optimizer, place: int, members: int) -> dict[str, Any]:
    """The state that one member's own optimiser would have."""
    whole = portable_state(optimizer)
    state = {
        number: {name: _slice(value, place, members) for name, value in entry.items()}
        for number, entry in whole["state"].items()
    }
    return {**whole, "state": state}


def stacked_optimizer_state(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The inverse of `member_optimizer_state`, of all members."""
    first = members[0]
    state = {
        number: {
            name: torch.stack([one["state"][number][name] for one in members]) if _is_stacked(value) else value
            for name, value in entry.items()
        }
        for number, entry in first["state"].items()
    }
    return {**first, "state": state}


def _slice(value: Any, place: int, members: int) -> Any:
    stacked = isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == members
    return value[place].detach().to("cpu", copy=True) if stacked else value


def _is_stacked(value: Any) -> bool:
    """Whether members have a value of their own: step counts (0-dim) are common to all."""
    return isinstance(value, torch.Tensor) and value.ndim > 0
