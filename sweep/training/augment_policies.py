"""Published augmentation policies on a batch of grey images [N, 1, H, W] in [0, 1]: a draw of its own for each image, without host synchronisation.

trivial: TrivialAugment (Mueller & Hutter 2021, arXiv 2103.10158). random_convolution: RandConv (Xu et al. 2021, arXiv 2007.13003).
amplitude_mix: Fourier amplitude mixing of FACT (Xu et al. 2021, arXiv 2105.11120). Black stays black in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

Policy = Callable[[Tensor, torch.Generator], Tensor]

# TrivialAugment's list without what a grey image does not have (colour) and without inversion of what is black (solarize, invert).
OPERATIONS = (
    "identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
    "brightness", "contrast", "sharpness", "posterize", "autocontrast", "equalize",
)  # fmt: skip
_ROTATION_DEG, _SHEAR, _SHIFT, _BLEND = (
    30.0,
    0.3,
    0.15,
    0.9,
)  # reach of the narrow space at full strength; shift in shares of the side
_FEWEST_BITS = 2  # of posterize at full strength
_LEVELS = 256
_KERNELS = (1, 3, 5, 7)  # sides of random_convolution's filters
_SMALL = 1e-6


def trivial(images: Tensor, generator: torch.Generator) -> Tensor:
    """One operation an image, drawn uniformly from OPERATIONS, at a strength drawn uniformly from [0, 1] and either sign."""
    count, device = len(images), images.device
    choice = torch.randint(len(OPERATIONS), (count,), generator=generator, device=device)
    strength = torch.rand(count, generator=generator, device=device)
    signed = torch.where(torch.rand(count, generator=generator, device=device) < 0.5, -strength, strength)

    def chosen(name: str) -> Tensor:
        return choice == OPERATIONS.index(name)

    images = _affine(images, {name: chosen(name) * signed for name in OPERATIONS[1:6]})
    images = _blend(images, {name: chosen(name) for name in OPERATIONS[6:9]}, 1 + _BLEND * signed)
    bits = (8 - (8 - _FEWEST_BITS) * strength).round()
    for name, change in (
        ("posterize", lambda x: posterize(x, bits)),
        ("autocontrast", autocontrast),
        ("equalize", equalize),
    ):
        images = torch.where(chosen(name).view(-1, 1, 1, 1), change(images), images)
    return images.clamp(0, 1)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Grey levels of 8 bits cut to their first `bits` [N] bits."""
    step = (2 ** (8 - bits)).view(-1, 1, 1, 1)
    return ((images * (_LEVELS - 1)).round() / step).floor() * step / (_LEVELS - 1)


def autocontrast(images: Tensor) -> Tensor:
    """Each image's range stretched to [0, 1]; a flat image stays."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(_SMALL), images)


def equalize(images: Tensor) -> Tensor:
    """Grey levels spread so that all are equally frequent among the pixels that are not black, which stay black."""
    count = len(images)
    levels = (images * (_LEVELS - 1)).round().long().view(count, -1)
    tallies = images.new_zeros(count, _LEVELS).scatter_add_(1, levels, torch.ones_like(levels, dtype=images.dtype))
    tallies[:, 0] = 0
    share = tallies.cumsum(1) / tallies.sum(1, keepdim=True).clamp_min(1)
    return share.gather(1, levels).view_as(images)


def random_convolution(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image blended, in a share drawn from [0, 1], with itself under a random filter of 1, 3, 5 or 7 px.

    The filtered image gets the mean and standard deviation of the original one, and its sign where it is correlated negatively with it:
    the published code leaves both to the network, here images have to stay in [0, 1] and bright echoes bright. Black pixels stay black.
    """
    count, device, side = len(images), images.device, max(_KERNELS)
    draws = torch.randn(count, 1, side, side, generator=generator, device=device)
    kernel = torch.randint(len(_KERNELS), (count,), generator=generator, device=device)
    share = torch.rand(count, generator=generator, device=device).view(-1, 1, 1, 1)
    away = (torch.arange(side, device=device) - side // 2).abs()
    inside = torch.maximum(away[:, None], away) <= kernel.view(-1, 1, 1, 1)  # kernel k has side 2 k + 1
    filters = draws * inside / (2 * kernel + 1).view(-1, 1, 1, 1)
    stacked = functional.pad(images.transpose(0, 1), (side // 2,) * 4, mode="reflect")
    filtered = functional.conv2d(stacked, filters, groups=count).transpose(0, 1)
    filtered = _with_moments_of(images, filtered)
    return torch.where(images > 0, images.lerp(filtered, share), images)


def amplitude_mix(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image with its Fourier amplitudes moved, by a share drawn from [0, 1], towards those of another of the batch; phases stay."""
    count, device = len(images), images.device
    partner = torch.randperm(count, generator=generator, device=device)
    share = torch.rand(count, generator=generator, device=device).view(-1, 1, 1, 1)
    spectrum = torch.fft.rfft2(images)
    amplitude = spectrum.abs()
    mixed = amplitude.lerp(amplitude[partner], share)
    moved = torch.fft.irfft2(torch.polar(mixed, spectrum.angle()), s=images.shape[2:])
    return torch.where(images > 0, moved.clamp(0, 1), images)


def _affine(images: Tensor, strengths: dict[str, Tensor]) -> Tensor:
    """Rotation, shears and shifts [N] each in units of their reach, as one resampling that leaves unmoved images as they are."""
    height, width = images.shape[2:]
    angle = strengths["rotate"] * math.radians(_ROTATION_DEG)
    cos, sin = angle.cos(), angle.sin()
    across, down = strengths["shear_x"] * _SHEAR, strengths["shear_y"] * _SHEAR
    rows = [
        [cos, (across - sin) * height / width, 2 * _SHIFT * strengths["translate_x"]],
        [(sin + down) * width / height, cos, 2 * _SHIFT * strengths["translate_y"]],
    ]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    unmoved = torch.stack(list(strengths.values())).eq(0).all(0)
    return torch.where(unmoved.view(-1, 1, 1, 1), images, moved)


def _blend(images: Tensor, chosen: dict[str, Tensor], factor: Tensor) -> Tensor:
    """Each image moved away from (factor above 1) or towards its black, mean-grey or smoothed version, whichever is chosen for it."""
    black = torch.zeros_like(images)
    grey = images.mean((1, 2, 3), keepdim=True) * (images > 0)
    smooth = functional.avg_pool2d(functional.pad(images, (1,) * 4, mode="replicate"), 3, stride=1)
    other = images
    for name, version in (("brightness", black), ("contrast", grey), ("sharpness", smooth)):
        other = torch.where(chosen[name].view(-1, 1, 1, 1), version, other)
    return (other + factor.view(-1, 1, 1, 1) * (images - other)).clamp(0, 1)


def _with_moments_of(images: Tensor, changed: Tensor) -> Tensor:
    """`changed` with the mean and standard deviation of each of `images`, negated where the two are correlated negatively."""
    axes = (1, 2, 3)
    mean, spread = images.mean(axes, keepdim=True), images.std(axes, keepdim=True)
    own_mean, own_spread = changed.mean(axes, keepdim=True), changed.std(axes, keepdim=True)
    centred = changed - own_mean
    negative = (centred * (images - mean)).sum(axes, keepdim=True) < 0
    return (torch.where(negative, -centred, centred) * (spread / own_spread.clamp_min(_SMALL)) + mean).clamp(0, 1)
