"""The three parts of a classifier (colorizer, backbone, head): which train, which are frozen, which have weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import nn

PARTS = ("colorizer", "backbone", "head")


def unwrapped(model: nn.Module) -> nn.Module:
    """The classifier inside a DistributedDataParallel wrapper, or `model` itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def colorizer_of(model: nn.Module) -> nn.Module:
    """The grey-to-colour module of the classifier."""
    return cast("nn.Module", unwrapped(model).colorizer)


def part_of(name: str) -> str:
    """The part a parameter or module belongs to by its dotted name; what is neither colorizer nor head is backbone."""
    first = name.split(".", 1)[0]
    return first if first in PARTS else "backbone"


def named_parameters(model: nn.Module, parts: Iterable[str]) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters that train in the chosen `parts`, with their names; those that low-rank adapters stand in for are left out."""
    chosen, fixed = set(parts), fixed_names(model)
    named = unwrapped(model).named_parameters()
    return ((name, weight) for name, weight in named if part_of(name) in chosen and name not in fixed)


def fixed_names(model: nn.Module) -> frozenset[str]:
    """Names of the backbone's weights that never train because it has low-rank adapters (sweep.models.lora)."""
    backbone = getattr(unwrapped(model), "backbone", None)
    return frozenset(f"backbone.{name}" for name in getattr(backbone, "fixed_names", ()))


def has_learned_colorizer(model: nn.Module) -> bool:
    """Whether the grey-to-colour module has weights of its own; replication and fixed decompositions have none."""
    colorizer = getattr(unwrapped(model), "colorizer", None)
    return colorizer is not None and any(True for _ in colorizer.parameters())


def train_only(model: nn.Module, parts: Iterable[str]) -> None:
    """Require gradients of `parts` alone."""
    chosen, fixed = set(parts), fixed_names(model)
    for name, weight in unwrapped(model).named_parameters():
        weight.requires_grad_(part_of(name) in chosen and name not in fixed)


def set_modes(model: nn.Module, frozen_bn: str) -> None:
    """Training mode, except that frozen batch norms keep their statistics unless `frozen_bn` is "train".

    Frozen are those of a frozen part, and those whose own weights do not train although others of their part do.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()  # undoes the classifier's own choice for frozen norms
    if frozen_bn == "train":
        return
    for child in unwrapped(model).children():
        part_is_frozen = is_frozen(child)
        for module in child.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (part_is_frozen or is_frozen(module)):
                module.eval()


def is_frozen(module: nn.Module) -> bool:
    """Whether a module has weights and none of them trains."""
    weights = list(module.parameters())
    return bool(weights) and not any(weight.requires_grad for weight in weights)


def to_channels_last(model: nn.Module) -> None:
    """Channels-last layout, the fastest for convolutions on CPUs and GPUs."""
    model.to(memory_format=torch.channels_last)


def to_contiguous(model: nn.Module) -> None:
    """Undo `to_channels_last`: safetensors refuses to write other layouts."""
    model.to(memory_format=torch.contiguous_format)
