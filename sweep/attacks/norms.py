"""Balls around an image: distance, step, projection and random start in Linf and L2, clipped to [0, 1].

Epsilons are tensors [n], one per image, so that a bisection can give every image its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.attacks.threat import L2, LINF

NORMS = (LINF, L2)
_TINY = 1e-30  # added to a norm before dividing by it: a zero gradient gives a zero direction, not NaN
_SMALLEST, _LARGEST = 1e-15, 1e15  # entries whose squares, summed over 1e6 pixels, stay within float32


def per_image(values: Tensor) -> Tensor:
    """[n] -> [n, 1, 1, 1]."""
    return values.view(-1, 1, 1, 1)


def distance(norm: str, delta: Tensor) -> Tensor:
    """Length of each perturbation [n]."""
    flat = delta.flatten(1)
    return flat.abs().amax(dim=1) if norm == LINF else flat.norm(dim=1)


def rescaled(gradient: Tensor) -> Tensor:
    """Gradients [n, ...] whose sums of squares stay within float32: very large or very small ones divided by their maximum.

    Others are returned unchanged, to the bit. Without this an entry of 1e20 overflows the L2 norm, the direction becomes
    zero and the attack stands still.
    """
    largest = gradient.abs().flatten(1).amax(dim=1)
    extreme = (largest > _LARGEST) | ((largest < _SMALLEST) & (largest > 0))
    scale = torch.where(extreme, largest, torch.ones_like(largest))
    return gradient / scale.view(-1, *(1,) * (gradient.ndim - 1))


def direction(norm: str, gradient: Tensor) -> Tensor:
    """The unit step of steepest ascent [n, C, H, W]; zero where the gradient is zero."""
    if norm == LINF:
        return gradient.sign()
    gradient = rescaled(gradient)
    return gradient / per_image(distance(L2, gradient) + _TINY)


def project(norm: str, clean: Tensor, moved: Tensor, epsilon: Tensor) -> Tensor:
    """Projection of `moved` onto the ball around `clean`, clipped to [0, 1]."""
    radius = per_image(epsilon)
    if norm == LINF:
        return torch.minimum(torch.maximum(moved, (clean - radius).clamp(min=0)), (clean + radius).clamp(max=1))
    delta = moved - clean
    factor = (radius / per_image(distance(L2, delta)).clamp(min=_TINY)).clamp(max=1)
    return (clean + delta * factor).clamp(0, 1)


def random_unit(norm: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """One point of the unit ball per image, drawn on the CPU so that it is the same for every device.

    Linf: uniform in the box. L2: uniform direction and uniform radius (torchattacks' PGDL2 draws in this order).
    """
    if norm == LINF:
        return torch.empty(like.shape, dtype=like.dtype).uniform_(-1, 1, generator=generator).to(like.device)
    normal = torch.empty(like.shape, dtype=like.dtype).normal_(generator=generator)
    radius = torch.empty(len(like), dtype=like.dtype).uniform_(0, 1, generator=generator)
    return (normal * per_image(radius / distance(L2, normal))).to(like.device)
