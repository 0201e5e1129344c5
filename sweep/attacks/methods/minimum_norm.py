"""The nearest adversarial image instead of one within a ball: one run answers every epsilon.

After the fast minimum-norm attack (Pintor et al. 2021): the ball shrinks around an image that is broken and grows where it is
not, at first by a linear estimate of the distance to the border.
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

FIRST_SHRINK, LAST_SHRINK = 0.1, 0.001  # how much the ball changes per step, share of its radius
FIRST_STEP, LAST_STEP = 1.0, 0.05  # step length, share of the radius


def minimum_norm(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Search the smallest perturbation, never beyond `epsilon` [n]; the last points come back."""
    clean = points = referee.images[rows]
    radius = epsilon.clone()
    found = torch.zeros_like(rows, dtype=torch.bool)
    for step in range(threat.steps):
        # exact: the points follow the decision boundary, where a bfloat16 prediction is useless
        _, gap, gradient = referee.gradient(rows, points, margin, exact=True)
        length = norms.distance(threat.norm, points - clean)
        broken = gap > 0
        found = found | broken
        shrink = cosine(FIRST_SHRINK, LAST_SHRINK, step / threat.steps)
        estimate = length + -gap / dual_length(threat.norm, gradient)
        grown = torch.where(found, radius * (1 + shrink), torch.minimum(estimate * (1 + shrink), epsilon))
        radius = torch.where(broken, torch.minimum(radius, length) * (1 - shrink), grown).clamp(max=epsilon)
        size = norms.per_image(radius * cosine(FIRST_STEP, LAST_STEP, step / threat.steps))
        points = norms.project(threat.norm, clean, points + size * norms.direction(threat.norm, gradient), radius)
    referee.forward(rows, points)
    return points


def dual_length(norm: str, gradient: Tensor) -> Tensor:
    """Dual norm of the gradient [n]: how fast the margin can rise per unit of distance."""
    flat = gradient.flatten(1)
    length = flat.abs().sum(dim=1) if norm == norms.LINF else flat.norm(dim=1)
    return length.clamp(min=1e-12)


def cosine(first: float, last: float, share: float) -> float:
    """Half a cosine wave from `first` to `last`, at `share` of the way."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
