"""Straight-through gradient around a colorizer: its output forward, replication of the grey channel backward."""

from __future__ import annotations

import copy

from torch import Tensor, nn


class StraightThrough(nn.Module):
    """`colorizer` in the forward pass, the gradient of replicating the grey channel in the backward pass."""

    def __init__(self, colorizer: nn.Module) -> None:
        super().__init__()
        self.colorizer = colorizer

    def forward(self, grey: Tensor) -> Tensor:
        """[N, 1, H, W] -> [N, 3, H, W]."""
        colors = self.colorizer(grey.detach()).detach()
        if colors.shape[2:] != grey.shape[2:]:  # no pixel-wise correspondence, so no straight-through gradient
            return self.colorizer(grey)
        replicated = grey.expand_as(colors)
        return replicated + (colors - replicated).detach()


def around_colorizer(model: nn.Module) -> nn.Module | None:
    """A copy of a model with `.colorizer` and `.backbone` whose gradient skips the colorizer; None for other models.

    Predictions are the same, so what breaks the copy breaks the model.
    """
    colorizer = getattr(model, "colorizer", None)
    if not isinstance(colorizer, nn.Module) or not hasattr(model, "backbone"):
        return None
    detour = copy.deepcopy(model)
    detour.colorizer = StraightThrough(copy.deepcopy(colorizer))
    return detour
