"""Balls around an image: distance, step, projection and random start in Linf and L2, cut to [0, 1].

Epsilons are tensors [n], one per image, so that a bisection can give every image its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

LINF, L2 = "linf", "l2"
NORMS = (LINF, L2)
_TINY = 1e-30  # keeps a zero gradient from dividing by zero, and is far below a saturated one


def per_image(values: Tensor) -> Tensor:
    """[n] -> [n, 1, 1, 1]."""
    return values.view(-1, 1, 1, 1)


def distance(norm: str, delta: Tensor) -> Tensor:
    """Length of each perturbation [n]."""
    flat = delta.flatten(1)
    return flat.abs().amax(dim=1) if norm == LINF else flat.norm(dim=1)


def direction(norm: str, gradient: Tensor) -> Tensor:
    """The unit step of steepest ascent; zero where the gradient is zero."""
    if norm == LINF:
        return gradient.sign()
    return gradient / per_image(distance(L2, gradient) + _TINY)


def project(norm: str, clean: Tensor, moved: Tensor, epsilon: Tensor) -> Tensor:
    """The point of the ball around `clean` that `moved` is cut to, inside [0, 1]."""
    radius = per_image(epsilon)
    if norm == LINF:
        return torch.minimum(torch.maximum(moved, (clean - radius).clamp(min=0)), (clean + radius).clamp(max=1))
    delta = moved - clean
    factor = (radius / per_image(distance(L2, delta)).clamp(min=_TINY)).clamp(max=1)
    return (clean + delta * factor).clamp(0, 1)


def random_unit(norm: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """One point of the unit ball per image, drawn on the CPU so that every device gets the same.

    Linf: uniform in the box. L2: uniform direction and uniform radius (torchattacks' PGDL2 draws in this order).
    """
    if norm == LINF:
        return torch.empty(like.shape, dtype=like.dtype).uniform_(-1, 1, generator=generator).to(like.device)
    normal = torch.empty(like.shape, dtype=like.dtype).normal_(generator=generator)
    radius = torch.empty(len(like), dtype=like.dtype).uniform_(0, 1, generator=generator)
    return (normal * per_image(radius / distance(L2, normal))).to(like.device)
