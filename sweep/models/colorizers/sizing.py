"""Any picture size in, the same size out: pad before a network that halves sizes, crop after it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides of [N, C, H, W] divide by `multiple`; often nothing to do."""
    height, width = images.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    if not (right or bottom):
        return images
    return functional.pad(images, (0, right, 0, bottom), mode="replicate")


def crop_like(images: Tensor, reference: Tensor) -> Tensor:
    """The top left part of `images` with the height and width of `reference`."""
    return images[..., : reference.shape[-2], : reference.shape[-1]]
