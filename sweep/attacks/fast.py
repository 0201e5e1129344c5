"""Networks that search in a faster copy of the model and verify with the model itself.

The copy has its batch norms fused and is channels-last. In float32 (`FusedNetwork`) it is the same function up to rounding;
in bfloat16 (`FastNetwork`) it only guides the search. In both, an image that looks broken or nearly so is predicted again by
the original model, so a recorded break is always the model's own.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sweep.attacks import criteria
from sweep.attacks.fuse_batch_norm import fused
from sweep.attacks.network import Gradient, Loss, Network, Passes, gradient_of

TIGHT, LOOSE = 1e-5, 1e-3  # largest accepted difference of the copy's logits, as a share of the largest logit
DOUBT = 1e-3  # margin, as a share of the largest logit, within which the model predicts again; measured rounding is near 1e-6


class FusedNetwork(Network):
    """A Network whose `gradient` comes from the fused copy in float32; `forward` and `exact_gradient` use the model itself."""

    bfloat16 = False
    verifies = True

    def __init__(self, model: nn.Module, faster: nn.Module) -> None:
        super().__init__(model)
        self._copy = faster.to(memory_format=torch.channels_last)
        for parameter in self._copy.parameters():
            parameter.requires_grad_(False)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> Gradient:
        """As Network.gradient, from the copy; the logits of images that look broken, or nearly so, are the original's."""
        self.passes.gradient += len(images)
        answer = self.search_gradient(images, labels, loss)
        logits = answer.logits
        doubtful = self.doubtful(logits, labels)
        if doubtful.any():
            self.passes.verdict += int(doubtful.sum())
            with torch.no_grad():
                logits[doubtful] = self.model(images[doubtful])
        return answer

    def search_gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> Gradient:
        """From the copy."""
        return gradient_of(self._search, images, labels, loss)

    def doubtful(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Images that look broken; in float32 also those nearly so."""
        doubtful = ~criteria.is_right(logits, labels)
        if self.exact:
            doubtful |= criteria.margin(logits, labels) > -DOUBT * logits.abs().amax(dim=1)
        return doubtful

    def _search(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self._copy(images).to(images.dtype)


class FastNetwork(FusedNetwork):
    """As FusedNetwork, but in bfloat16 where that is native and faster; its predictions are too coarse for a verdict."""

    exact = False

    def __init__(self, model: nn.Module, faster: nn.Module, sample: Tensor) -> None:
        super().__init__(model, faster)
        pays = sample.device.type != "cpu" or not any(_is_depthwise(module) for module in faster.modules())
        self.bfloat16 = sample.dtype == torch.float32 and has_bfloat16(sample.device) and pays


def network_for(model: nn.Module, sample: Tensor, *, fast: bool) -> Network:
    """The network to search in: where nothing can be fused the model itself, or for `fast` a copy of it."""
    spent = Passes()
    merged = fused(model, sample, within=LOOSE if fast else TIGHT, passes=spent)
    network: Network
    if fast:
        network = FastNetwork(model, merged or copy.deepcopy(model).eval(), sample)
    else:
        network = Network(model) if merged is None else FusedNetwork(model, merged)
    network.passes += spent
    return network


def _is_depthwise(module: nn.Module) -> bool:
    """Whether it is a depthwise convolution, which on a CPU is slower in bfloat16 than in float32."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native there; emulated it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, so absent means no
    return any(getattr(torch.cpu, flag, bool)() for flag in flags)
