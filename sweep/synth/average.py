"""A running average of a generator's weights, which samples better than the last step's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of parameters and batch-norm statistics; with decay 0 the network itself.

    The decay starts low and rises to `decay`, so that a short run is not averaged with its random start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.source, self.decay, self.updates = network, decay, 0
        self.network = copy.deepcopy(network).requires_grad_(False) if decay else network

    @torch.no_grad()
    def update(self) -> None:
        """Move the average one step towards the network."""
        if not self.decay:
            return
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(self.network.state_dict().values(), self.source.state_dict().values(), strict=False))
        floats = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [new for _, new in floats], weight)
