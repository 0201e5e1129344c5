"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


class AveragedWeights:
    """Exponential average of a model's floating state; counters are copied.

    The decay rises from zero with the steps done, min(decay, (1 + t) / (10 + t)), so that a short run does not keep its random initialisation.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.shadow: Weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's current weights."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.shadow[name])
                values.append(value)
            else:
                self.shadow[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    def snapshot(self) -> Weights:
        """A copy of the averaged weights on the CPU."""
        return _copy(self.shadow)

    def state(self) -> dict[str, Any]:
        """State for `load`."""
        return {"steps": self.steps, "shadow": self.snapshot()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the `state` of an earlier run."""
        self.steps = state["steps"]
        for name, value in state["shadow"].items():
            self.shadow[name].copy_(value)

    @contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[None]:
        """Load the averaged weights into `model` inside the block."""
        own = snapshot(model)
        model.load_state_dict(self.shadow)
        try:
            yield
        finally:
            model.load_state_dict(own)


def snapshot(model: nn.Module) -> Weights:
    """A copy of all weights and buffers on the CPU."""
    return _copy(model.state_dict())


def _copy(weights: Mapping[str, torch.Tensor]) -> Weights:
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in weights.items()}
