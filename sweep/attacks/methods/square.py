"""Square attack, Linf: random squares of +-epsilon, kept when they help; no gradient at all (Andriushchenko et al. 2020).

As torchattacks 3.5.1, whose default is 5000 queries; the random squares of a query are the same for every image, so an image's
outcome does not depend on its batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sweep.attacks import norms
from sweep.attacks.criteria import margin
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Referee
from sweep.attacks.threat import Threat

_FIRST_SHARE = 0.8  # of the image's area that the first squares cover
# share halves after these queries of 10000
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def square(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Query `threat.steps` times per restart; the best points come back when no image leaves early."""
    best = referee.images[rows]
    for restart in range(threat.restarts):
        left = referee.standing(rows, epsilon)
        if not left.any():
            break
        best = _one_run(referee, rows[left], epsilon[left], threat, draws.generator("square", restart))
    return best


def _one_run(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
    clean = referee.images[rows]
    count, channels, height, width = len(referee.images), *clean.shape[1:]
    stripes = _signs((count, channels, 1, width), generator).to(clean)[rows]
    radius = norms.per_image(epsilon)
    best = norms.project(threat.norm, clean, clean + radius * stripes, epsilon)
    gap = margin(referee.forward(rows, best), referee.labels[rows])
    for query in range(threat.steps):
        patch = _patch(channels, height, width, side_of(query, threat.steps, height, width), generator).to(clean)
        left = referee.standing(rows, epsilon)
        if not left.all():
            rows, epsilon, clean, radius, best, gap = (part[left] for part in (rows, epsilon, clean, radius, best, gap))
            if not len(rows):
                break
        points = norms.project(threat.norm, clean, best + 2 * radius * patch, epsilon)
        value = margin(referee.forward(rows, points), referee.labels[rows])
        better = value > gap
        best = torch.where(norms.per_image(better), points, best)
        gap = torch.where(better, value, gap)
    return best


def side_of(query: int, queries: int, height: int, width: int) -> int:
    """Side of the square in pixels, by a schedule that is stretched to the number of queries."""
    step = query * 10_000 // queries
    share = _FIRST_SHARE / 2 ** sum(step > limit for limit in _HALVINGS)
    return min(max(round(math.sqrt(share * height * width)), 1), height - 1, width - 1)


def _patch(channels: int, height: int, width: int, side: int, generator: torch.Generator) -> Tensor:
    """A square of random place, one random sign per channel, zero elsewhere [C, H, W]."""
    top, left = (int(torch.randint(0, size - side, (), generator=generator)) for size in (height, width))
    patch = torch.zeros(channels, height, width)
    patch[:, top : top + side, left : left + side] = _signs((channels, 1, 1), generator)
    return patch


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0
