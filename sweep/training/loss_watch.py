"""The losses of one epoch: their mean, and the first step at which one stopped being finite."""

from __future__ import annotations

import math

import torch

from sweep.core.errors import Diverged
from sweep.training import workers

_GPU_STEPS_BETWEEN_CHECKS = 1000  # a check makes the host wait for the GPU: once in an epoch of usual length


class LossWatch:
    """Collects detached losses on their device; raises Diverged with the optimiser step, counted from 1 over the whole run."""

    def __init__(self, steps_before: int, device: torch.device) -> None:
        self.steps_before = steps_before
        self.every = 1 if device.type == "cpu" else _GPU_STEPS_BETWEEN_CHECKS
        self.values: list[torch.Tensor] = []
        self._unseen: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor) -> None:
        """Record the loss of the next step."""
        self.values.append(loss)
        self._unseen.append(loss)
        if len(self._unseen) >= self.every:
            self._check()

    def mean(self) -> float:
        """Mean loss of the epoch."""
        self._check()
        return float(torch.stack(self.values).double().mean())

    def _check(self) -> None:
        first = self.steps_before + len(self.values) - len(self._unseen) + 1
        for step, value in enumerate(_floats(self._unseen), start=first):
            if not math.isfinite(value):
                raise Diverged("train", step, value)
        self._unseen = []


def _floats(losses: list[torch.Tensor]) -> list[float]:
    """Over several workers the mean of each step, so that all stop at the same step."""
    if not losses:
        return []
    numbers = torch.stack(losses).tolist()
    return list(workers.mean_over_workers({str(place): number for place, number in enumerate(numbers)}).values())
