"""Fast search: gradients from a folded, channels-last, bfloat16 copy; whatever looks broken is judged by the model itself.

bfloat16 only guides the search. Every claimed break and the last point of every run are passed through the original model in
float32, so a break is always real; an image may at worst look more robust than it is, by a gradient too coarse to find the way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sweep.attacks import criteria
from sweep.attacks.fold import folded
from sweep.attacks.network import Loss, Network, gradient_of


class FastNetwork(Network):
    """A Network whose `gradient` searches in bfloat16; `forward` and `exact_gradient` are the model's own."""

    exact = False

    def __init__(self, model: nn.Module, sample: Tensor) -> None:
        super().__init__(model)
        self._device = sample.device.type
        self._bfloat16 = sample.dtype == torch.float32 and has_bfloat16(sample.device)
        self._search = folded(model, sample).to(memory_format=torch.channels_last)
        for parameter in self._search.parameters():
            parameter.requires_grad_(False)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """As Network.gradient, from the coarse copy; the logits of images that look broken are the original's."""
        self.passes.gradient += len(images)
        logits, values, gradient = gradient_of(self._coarse, images, labels, loss)
        broken = ~criteria.is_right(logits, labels)
        if broken.any():
            self.passes.verdict += int(broken.sum())
            with torch.no_grad():
                logits[broken] = self.model(images[broken])
        return logits, values, gradient

    def _coarse(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            return self._search(images).to(images.dtype)


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native there; emulated it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, so absent means no
    return any(getattr(torch.cpu, flag, bool)() for flag in flags)
