"""FGSM, BIM, PGD and MI-FGSM as one loop: start, step along the gradient, project, until broken or out of steps.

FGSM is one step of the whole epsilon from the clean image, BIM many small ones, PGD starts at a random point of the ball,
MI-FGSM steps along a decaying sum of gradients. Definitions as in torchattacks 3.5.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.attacks import norms
from sweep.attacks.criteria import LOSSES
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Referee
from sweep.attacks.threat import Threat

CHANCES = 2  # additional random starts for near misses
_SHARED_STEPS = 2  # later steps differ between threats and epsilons, so caching them would only cost memory


def gradient_steps(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Attack the images `rows` within `epsilon` [n]; the last points [n, C, H, W] come back when no image leaves early.

    A near miss is attacked again: from other random starts, or, without random starts in fast mode, with the float32
    gradient. So neither the random start nor bfloat16 rounding leaves unbroken what one call per epsilon could break.
    """
    points = referee.images[rows]
    chances = CHANCES if threat.random_start else int(not referee.network.exact)
    for run in range(threat.restarts + chances * referee.leave):
        second = run >= threat.restarts
        left = referee.standing(rows, epsilon)
        if second:
            left &= referee.near_miss(rows)
        if left.any():
            points = _one_run(
                referee, rows[left], epsilon[left], threat, draws, run, exact=second and not threat.random_start
            )
    return points


def _one_run(
    referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws, run: int, exact: bool
) -> Tensor:
    loss = LOSSES[threat.loss]
    clean = referee.images[rows]
    points = _start(clean, rows, epsilon, threat, draws, run)
    momentum = torch.zeros_like(points)
    for step in range(threat.steps):
        keep = not exact and _worth_keeping(threat, step, epsilon)
        _, _, gradient = referee.gradient(rows, points, loss, remember=keep, exact=exact)
        left = referee.standing(rows, epsilon)
        if not left.all():
            rows, epsilon, clean, points = rows[left], epsilon[left], clean[left], points[left]
            gradient, momentum = gradient[left], momentum[left]
            if not len(rows):
                return points
        if threat.decay is not None:
            momentum = unit_mean(gradient) + threat.decay * momentum
            gradient = momentum
        size = norms.per_image(threat.step_size(epsilon))
        points = norms.project(threat.norm, clean, points + size * norms.direction(threat.norm, gradient), epsilon)
    referee.forward(rows, points)
    return points


def _start(clean: Tensor, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws, run: int) -> Tensor:
    if not threat.random_start:
        return clean
    noise = draws.unit(threat.norm, run)[rows]
    return (clean + norms.per_image(epsilon) * noise).clamp(0, 1)


def unit_mean(gradient: Tensor) -> Tensor:
    """Divide by the mean absolute value; a zero gradient stays zero (0/0 would turn the image into NaN)."""
    gradient = norms.rescaled(gradient)
    mean = norms.per_image(gradient.abs().flatten(1).mean(dim=1))
    return torch.where(mean > 0, gradient / mean, gradient)


def _worth_keeping(threat: Threat, step: int, epsilon: Tensor) -> bool:
    """The first step, shared with FGSM, and the second while no projection changed it, shared with larger epsilons."""
    if threat.random_start or threat.alpha is None or step > _SHARED_STEPS:
        return False
    return step <= 1 or bool((step * threat.alpha <= epsilon).all())
