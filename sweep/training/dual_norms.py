"""A second set of batch norms for attacked images, which have other statistics than clean ones (Xie et al. 2020, AdvProp).

The set is kept outside the model and replaces its norms during one call; the trained model keeps only the clean ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from sweep.training.parts import part_of


class DualNorms:
    """Copies of every batch norm's weights and statistics in `model`; calling it runs the model on the copies."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.tensors: dict[str, torch.Tensor] = {}
        for prefix, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for name, weight in module.named_parameters(recurse=False):
                    self.tensors[f"{prefix}.{name}"] = nn.Parameter(weight.detach().clone())
                for name, buffer in module.named_buffers(recurse=False):
                    self.tensors[f"{prefix}.{name}"] = buffer.clone()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of `images` under the second set; in training mode its statistics move, not the model's."""
        return functional_call(self.model, self.tensors, (images,))

    def buffers(self) -> list[torch.Tensor]:
        """The second set's statistics."""
        return [value for value in self.tensors.values() if not isinstance(value, nn.Parameter)]

    def named_parameters(self, parts: Iterable[str]) -> list[tuple[str, nn.Parameter]]:
        """The second set's learnable scales and offsets in `parts`, by the names of the model's own."""
        chosen = set(parts)
        return [
            (name, value)
            for name, value in self.tensors.items()
            if isinstance(value, nn.Parameter) and part_of(name) in chosen
        ]

    def state(self) -> dict[str, Any]:
        """State for `load`."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.tensors.items()}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Restore the `state` of an earlier run."""
        for name, value in state.items():
            self.tensors[name].copy_(value)
