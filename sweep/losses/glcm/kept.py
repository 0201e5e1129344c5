"""The texture loss with cached target features, for images that recur unchanged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sweep.losses.glcm.loss import GLCMLoss

MOST_BYTES = 256 << 20  # of cached features; 90,000 images of 128 px


class KeptTargets(nn.Module):
    """`GLCMLoss` with a cache of the target features of grey images, keyed by their content.

    Only for images that are bytes divided by 255, as they are without augmentation, or with flips alone. An image's features
    do not depend on its batch, so a resumed run, which begins with an empty memory, gets the same loss.
    """

    def __init__(self, loss: GLCMLoss) -> None:
        super().__init__()
        self.loss = loss
        self.kept: dict[int, Tensor] = {}
        self.bytes = 0

    def forward(self, colorized: Tensor, grey: Tensor) -> Tensor:
        """As `GLCMLoss`: [N, 3, H, W] and [N, 1, H, W] -> scalar."""
        return self.loss(colorized, grey, self.target(grey))

    @torch.no_grad()
    def target(self, grey: Tensor) -> Tensor:
        """As `GLCMLoss.target`: [N, windows, F]. On a GPU computed anew: to look at the content, the host would wait for the device at each step."""
        if grey.device.type != "cpu":
            return self.loss.target(grey)
        keys = [hash(image.tobytes()) for image in (grey * 255).round().byte().cpu().numpy()]
        new = [place for place, key in enumerate(keys) if key not in self.kept]
        fresh = dict(zip(new, self.loss.target(grey[new]), strict=True)) if new else {}
        for place, features in fresh.items():
            self._keep(keys[place], features)
        return torch.stack([fresh[place] if place in fresh else self.kept[key] for place, key in enumerate(keys)])

    def _keep(self, key: int, features: Tensor) -> None:
        size = features.numel() * features.element_size()
        if self.bytes + size <= MOST_BYTES:
            self.kept[key] = features.clone()
            self.bytes += size
