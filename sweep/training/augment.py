"""Label-preserving random changes to a batch of grey images; one draw per image, on the batch's device.

No vertical flip: in ultrasound the skin is at the top and shadows fall downwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as functional

from sweep.training.augment_policies import Policy, amplitude_mix, random_convolution, trivial

_TGC_BANDS = 8  # sliders of a usual time-gain panel


@dataclass(frozen=True)
class Augmentation:
    """Largest size of each change; zero turns it off."""

    flip: bool = False  # left-right, for half of the images
    rotation_deg: float = 0.0
    scale: float = 0.0  # zoom between 1 - scale and 1 + scale
    brightness: float = 0.0  # added, in units of the [0, 1] range
    contrast: float = 0.0  # slope about mid-grey between 1 - contrast and 1 + contrast
    speckle: float = 0.0  # standard deviation of multiplicative noise
    tgc: float = 0.0  # gain error of the depth sliders, largest relative change
    shift: float = 0.0  # along each axis, largest share of the side
    shear: float = 0.0  # along x, largest shift of a row over its distance from the centre
    policy: Policy | None = None  # what else is done, after the changes above


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": Augmentation(),
    "flip": Augmentation(flip=True),
    "ultrasound": Augmentation(True, 10.0, 0.1, 0.1, 0.1, 0.05, 0.1),
    # No flip: the heart lies on the left.
    "xray": Augmentation(False, 10.0, 0.1, 0.1, 0.1, 0.0, 0.0),
    "geometric": Augmentation(True, rotation_deg=20.0, scale=0.2, shift=0.1, shear=0.15),
    "trivial": Augmentation(True, policy=trivial),
    "randconv": Augmentation(True, policy=random_convolution),
    "fourier": Augmentation(True, policy=amplitude_mix),
}


def augment(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Change each image of a float batch [N, 1, H, W] in [0, 1] by its own draw; the result stays in [0, 1]."""
    if settings == Augmentation():
        return images
    images = _move(images, settings, generator)
    images = _grade(images, settings, generator)
    if settings.policy is not None:
        images = settings.policy(images, generator)
    return images.clamp_(0.0, 1.0)


def _uniform(count: int, reach: float, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(count, generator=generator, device=generator.device) * 2 - 1) * reach


def _move(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    count = len(images)
    mirror = torch.ones(count, device=images.device)
    if settings.flip:
        # Not torch.where with two numbers: on a GPU these become tensors that are copied from the host.
        mirror -= 2.0 * (torch.rand(count, generator=generator, device=images.device) < 0.5)
    if settings.rotation_deg == settings.scale == settings.shift == settings.shear == 0:
        return torch.where(mirror.view(-1, 1, 1, 1) < 0, images.flip(3), images)
    angle = _uniform(count, math.radians(settings.rotation_deg), generator)
    zoom = 1 / (1 + _uniform(count, settings.scale, generator))
    grid = _grid(images.shape[2], images.shape[3], angle, zoom, mirror)
    if settings.shear:
        grid[..., 0] += _uniform(count, settings.shear, generator).view(-1, 1, 1) * grid[..., 1]
    if settings.shift:
        reach = 2 * settings.shift  # in units of half the image
        grid += torch.stack((_uniform(count, reach, generator), _uniform(count, reach, generator)), 1).view(-1, 1, 1, 2)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _grid(height: int, width: int, angle: torch.Tensor, zoom: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """Where each output pixel reads, [N, H, W, 2] in units of half the image; rotation is rigid for oblong images too."""
    y = (torch.arange(height, device=angle.device) * 2 + 1) / height - 1
    x = (torch.arange(width, device=angle.device) * 2 + 1) / width - 1
    cos, sin = (zoom * torch.cos(angle)).view(-1, 1, 1), (zoom * torch.sin(angle)).view(-1, 1, 1)
    x_NHW = (cos * x - sin * (height / width) * y[:, None]) * mirror.view(-1, 1, 1)
    y_NHW = sin * (width / height) * x + cos * y[:, None]
    return torch.stack((x_NHW, y_NHW), dim=3)


def _grade(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Brightness, contrast, depth gain and speckle as one slope and one offset per pixel."""
    count = len(images)
    if settings.brightness or settings.contrast:
        slope = 1 + _uniform(count, settings.contrast, generator).view(-1, 1, 1, 1)
        offset = _uniform(count, settings.brightness, generator).view(-1, 1, 1, 1) + 0.5 * (1 - slope)
        # Letterbox borders and shadows are black at every scanner setting: the offset fades out towards zero grey.
        images = images * slope + offset * (images * 8).clamp_(max=1.0)
    if settings.tgc:
        images = images * _depth_gain(count, images.shape[2], settings.tgc, generator)
    if settings.speckle:
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = images * noise.mul_(settings.speckle).add_(1.0)
    return images


def _depth_gain(count: int, height: int, reach: float, generator: torch.Generator) -> torch.Tensor:
    """Gain [N, 1, H, 1] about one that changes smoothly with depth, as misplaced sliders do."""
    sliders = torch.rand((count, 1, _TGC_BANDS), generator=generator, device=generator.device) * 2 - 1
    curve = functional.interpolate(sliders, size=height, mode="linear", align_corners=True)
    return 1 + reach * curve.unsqueeze(3)
