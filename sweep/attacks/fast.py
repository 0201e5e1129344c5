"""Networks that look for the way in a copy of the model made for speed, while the model itself keeps the last word.

The copy is folded and channels-last. In float32 (`FoldedNetwork`) it is the same function but for rounding; in bfloat16
(`FastNetwork`) it only guides the search. In both, what looks broken or nearly so is passed through the original model, so a
break is always real.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sweep.attacks import criteria
from sweep.attacks.fuse_batch_norm import fused
from sweep.attacks.network import Loss, Network, Passes, gradient_of

TIGHT, LOOSE = 1e-5, 1e-3  # largest difference of the copy's logits, as a share of the largest logit, to be taken
DOUBT = 1e-3  # share of the largest logit within which the copy's rounding could decide a verdict; measured differences are near 1e-6


class FusedNetwork(Network):
    """A Network whose `gradient` comes from the folded copy in float32; `forward` and `exact_gradient` are the model's own."""

    bfloat16 = False

    def __init__(self, model: nn.Module, faster: nn.Module) -> None:
        super().__init__(model)
        self._copy = faster.to(memory_format=torch.channels_last)
        for parameter in self._copy.parameters():
            parameter.requires_grad_(False)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """As Network.gradient, from the copy; the logits of images that look broken, or nearly so, are the original's."""
        self.passes.gradient += len(images)
        logits, values, gradient = gradient_of(self._search, images, labels, loss)
        doubtful = ~criteria.is_right(logits, labels)
        if self.exact:
            doubtful |= criteria.margin(logits, labels) > -DOUBT * logits.abs().amax(dim=1)
        if doubtful.any():
            self.passes.verdict += int(doubtful.sum())
            with torch.no_grad():
                logits[doubtful] = self.model(images[doubtful])
        return logits, values, gradient

    def _search(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self._copy(images).to(images.dtype)


class FastNetwork(FusedNetwork):
    """As FoldedNetwork, but in bfloat16 where that is native and pays; what it says is too coarse for a verdict."""

    exact = False

    def __init__(self, model: nn.Module, faster: nn.Module, sample: Tensor) -> None:
        super().__init__(model, faster)
        pays = sample.device.type != "cpu" or not any(_is_depthwise(module) for module in faster.modules())
        self.bfloat16 = sample.dtype == torch.float32 and has_bfloat16(sample.device) and pays


def network_for(model: nn.Module, sample: Tensor, *, fast: bool) -> Network:
    """The network to search in: where nothing can be folded the model itself, or for `fast` a copy of it."""
    spent = Passes()
    merged = fused(model, sample, within=LOOSE if fast else TIGHT, passes=spent)
    if fast:
        network = FastNetwork(model, merged or copy.deepcopy(model).eval(), sample)
    else:
        network = Network(model) if merged is None else FusedNetwork(model, merged)
    network.passes += spent
    return network


def _is_depthwise(module: nn.Module) -> bool:
    """Whether it is a convolution of one channel each: on a CPU slower in bfloat16 than in float32."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native there; emulated it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, so absent means no
    return any(getattr(torch.cpu, flag, bool)() for flag in flags)
