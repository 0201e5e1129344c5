"""The control: random points on the surface of the ball, without the gradient; a useful attack must break more than this."""

from __future__ import annotations

from torch import Tensor

from sweep.attacks import norms
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Referee
from sweep.attacks.threat import Threat


def noise(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """`threat.steps` random corners of the box (Linf) or points of the sphere (L2); the last ones come back."""
    points = referee.images[rows]
    for draw in range(threat.steps):
        left = referee.standing(rows, epsilon)
        if not left.any():
            break
        here, radius = rows[left], epsilon[left]
        clean = referee.images[here]
        unit = norms.direction(threat.norm, draws.unit(threat.norm, draw)[here])
        points = norms.project(threat.norm, clean, clean + norms.per_image(radius) * unit, radius)
        referee.forward(here, points)
    return points
