"""The layers of a backbone, numbered from the image upwards, for learning rates that differ by layer."""

from __future__ import annotations

from torch import nn


def layer_numbers(backbone: nn.Module) -> dict[str, int]:
    """Layer of each parameter, 0 for the stem; consecutive, the last is nearest to the head.

    A timm network says itself what its layers are. In any other one a layer is an indexed block (blocks.3, encoder.layer2.0, features.1):
    weights before the first such block are the stem, weights after a block belong to it.
    """
    matcher = getattr(backbone, "group_matcher", None)
    if matcher is None:
        return _by_blocks([name for name, _ in backbone.named_parameters()])
    from timm.models import group_parameters

    numbers: dict[str, int] = group_parameters(backbone, matcher(coarse=False), reverse=True)
    order = {number: place for place, number in enumerate(sorted({*numbers.values()}))}
    return {name: order[number] for name, number in numbers.items()}


def _by_blocks(names: list[str]) -> dict[str, int]:
    numbers, seen = {}, [""]
    for name in names:
        block = _block_of(name)
        if block and block != seen[-1]:
            seen.append(block)
        numbers[name] = len(seen) - 1
    first = min(numbers.values(), default=0)
    return {name: number - first for name, number in numbers.items()}


def _block_of(name: str) -> str:
    """The name up to its first index; empty where it has none."""
    parts = name.split(".")
    at = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return "" if at is None else ".".join(parts[: at + 1])
