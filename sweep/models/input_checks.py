"""The check of images that a colorizer or a classifier is called with."""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.core.errors import InputError, described


def check_grey(images: object, weights: torch.dtype | None) -> None:
    """InputError unless `images` are a floating-point tensor [N, 1, H, W], outside an autocast of the type of the weights.

    `weights` is None for a module without any.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 1:
        raise InputError("images", described(images), "give a tensor of grey images [N, 1, H, W]")
    wanted = weights or (images.dtype if images.is_floating_point() else torch.float32)
    if images.dtype == wanted or (images.is_floating_point() and torch.is_autocast_enabled(images.device.type)):
        return
    name = str(wanted).removeprefix("torch.")
    fix = f"convert them: images.to(torch.{name})"
    if not images.is_floating_point():
        fix = f"convert to [0, 1]: images.to(torch.{name}) / 255"
    raise InputError("images", f"type {images.dtype} for a model in {name}", fix)
