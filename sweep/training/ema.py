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

    The decay rises from zero with the steps done, min(decay, (1 + t) / (10 + t)), so that a short run does not keep its random
    initialisation. With `on_device` the steps are counted in a tensor beside the weights, as a recorded step needs it.
    """

    def __init__(self, model: nn.Module, decay: float, on_device: bool = False) -> None:
        self.decay, self.steps = decay, 0
        self.shadow: Weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        place = next(iter(self.shadow.values())).device
        self._count = torch.zeros((), device=place) if on_device else None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's current weights."""
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.shadow[name])
                values.append(value)
            else:
                self.shadow[name].copy_(value)
        if self._count is not None:
            self._move_on_device(averages, values, self._count)
            return
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        torch._foreach_lerp_(averages, values, 1 - decay)

    def _move_on_device(self, averages: list[torch.Tensor], values: list[torch.Tensor], count: torch.Tensor) -> None:
        count += 1
        keep = (count / (count + 9)).clamp(max=self.decay)
        gaps = list(torch._foreach_sub(values, averages))
        torch._foreach_mul_(gaps, 1 - keep)
        torch._foreach_add_(averages, gaps)

    def tensors(self) -> list[torch.Tensor]:
        """Everything that an update changes in place."""
        return [*self.shadow.values(), *([] if self._count is None else [self._count])]

    def snapshot(self) -> Weights:
        """A copy of the averaged weights on their device."""
        return _copy(self.shadow)

    def state(self) -> dict[str, Any]:
        """State for `load`, on the CPU."""
        return {"steps": self.steps if self._count is None else int(self._count), "shadow": on_cpu(self.shadow)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the `state` of an earlier run."""
        self.steps = state["steps"]
        if self._count is not None:
            self._count.fill_(self.steps)
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
    """A copy of all weights and buffers on their device."""
    return _copy(model.state_dict())


def on_cpu(weights: Mapping[str, torch.Tensor]) -> Weights:
    """A copy on the CPU."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in weights.items()}


def _copy(weights: Mapping[str, torch.Tensor]) -> Weights:
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()}
