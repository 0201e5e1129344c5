"""Differentiable augmentation of real and synthetic images (DiffAugment, Zhao et al. 2020), for hundreds of images.

Real and synthetic images pass the same random changes and gradients flow through them, so the critic cannot learn the
small training set by heart and the generator does not learn the changes. Images are [N, 1, H, W] in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT_SHARE = 1 / 8  # largest translation, of the image side
CUTOUT_SHARE = 1 / 2  # side of the erased square, of the image side


def translate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to an eighth in each direction; pixels shifted in from outside are mid grey, as published."""
    n, _, rows, columns = images.shape
    reach = max(1, round(rows * SHIFT_SHARE))
    shift = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=generator, device=images.device)
    across = torch.arange(columns, device=images.device) + shift[0]
    down = torch.arange(rows, device=images.device) + shift[1]
    padded = F.pad(images, (reach, reach, reach, reach))[:, 0]
    picture = torch.arange(n, device=images.device)[:, None, None]
    return padded[picture, down[:, :, None], across[:, None, :]].unsqueeze(1)


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Erase a square of half the side, anywhere, also partly outside."""
    n, _, rows, columns = images.shape
    side = round(rows * CUTOUT_SHARE)
    corner = torch.randint(-side // 2, rows - side // 2 + 1, (2, n, 1), generator=generator, device=images.device)
    inside = [
        (torch.arange(length, device=images.device) >= start)
        & (torch.arange(length, device=images.device) < start + side)
        for length, start in zip((rows, columns), corner, strict=False)
    ]
    return images * ~(inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1)


def brightness_contrast(images: Tensor, generator: torch.Generator) -> Tensor:
    """Add -0.5 to 0.5, then scale the distance from the image's mean by 0.5 to 1.5."""
    draws = torch.rand((2, len(images), 1, 1, 1), generator=generator, device=images.device)
    brighter = images + draws[0] - 0.5
    mean = brighter.mean((1, 2, 3), keepdim=True)
    return (brighter - mean) * (draws[1] + 0.5) + mean


CHANGES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "brightness_contrast": brightness_contrast,
    "translation": translate,
    "cutout": cutout,
}


def augment(images: Tensor, policy: str, generator: torch.Generator) -> Tensor:
    """Apply the changes named in `policy` ("translation+cutout"; "" for none), in that order."""
    for name in filter(None, policy.split("+")):
        images = CHANGES[name](images, generator)
    return images
