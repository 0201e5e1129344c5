"""Auto-PGD: PGD that halves an image's step when its loss stops rising, and goes back to the best point (Croce & Hein 2020).

Follows torchattacks 3.5.1 (same checkpoints and start), with the margin of criteria.py instead of DLR, which needs three
classes. The unused gradient at the last point is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sweep.attacks import norms
from sweep.attacks.criteria import LOSSES
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Referee
from sweep.attacks.threat import Threat

MOMENTUM = 0.75
RISING_SHARE = 0.75  # a step is halved when the loss rose in at most this share of the last steps


def apgd(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Attack the images `rows` within `epsilon` [n]; the points of highest loss come back when no image leaves early."""
    best = referee.images[rows]
    for restart in range(threat.restarts):
        left = referee.standing(rows, epsilon)
        if not left.any():
            break
        best = _one_run(referee, rows[left], epsilon[left], threat, draws, restart)
    return best


@dataclass
class _State:
    """Per image: where it is, where it was, the best point so far, its step, and its loss history."""

    rows: Tensor
    clean: Tensor
    epsilon: Tensor
    points: Tensor
    before: Tensor
    gradient: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    checked_loss: Tensor  # best loss at the last checkpoint
    last_loss: Tensor
    rises: Tensor  # steps since the last checkpoint at which the loss rose
    halved: Tensor  # whether the last checkpoint halved the step
    step: Tensor

    def keep(self, mask: Tensor) -> None:
        if not mask.all():
            for part in fields(self):
                setattr(self, part.name, getattr(self, part.name)[mask])


def _one_run(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws, restart: int) -> Tensor:
    loss, windows = LOSSES[threat.loss], dict(checkpoints(threat.steps))
    state = _begin(referee, rows, epsilon, threat, draws, restart)
    for step in range(threat.steps):
        state.keep(referee.standing(state.rows, state.epsilon))
        if not len(state.rows):
            return state.best
        _move(state, threat, first=step == 0)
        if step == threat.steps - 1:
            break
        _, values, state.gradient = referee.gradient(state.rows, state.points, loss)
        _remember(state, values, first=step == 0)
        if step + 1 in windows:
            _checkpoint(state, windows[step + 1])
    logits = referee.forward(state.rows, state.points)
    _remember(state, loss(logits, referee.labels[state.rows]), first=False)
    return state.best


def checkpoints(steps: int) -> list[tuple[int, int]]:
    """(step, counted from 1, and the steps since the last one) of every checkpoint before the last step."""
    window, shortest, shrink = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    found, step = [], window
    while step < steps:
        found.append((step, window))
        window = max(window - shrink, shortest)
        step += window
    return found


def _begin(referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws, restart: int) -> _State:
    clean = referee.images[rows]
    unit = draws.unit(threat.norm, restart)[rows]
    unit = unit / norms.per_image(norms.distance(threat.norm, unit))  # the start lies on the surface of the ball
    points = (clean + norms.per_image(epsilon) * unit).clamp(0, 1)
    _, values, gradient = referee.gradient(rows, points, LOSSES[threat.loss])
    nothing, everything = torch.zeros_like(values), torch.ones_like(rows, dtype=torch.bool)
    return _State(
        rows,
        clean,
        epsilon,
        points,
        points,
        gradient,
        points,
        gradient,
        values,
        values,
        values,
        nothing,
        everything,
        2 * epsilon,
    )


def _move(state: _State, threat: Threat, first: bool) -> None:
    share = 1.0 if first else MOMENTUM
    drift = state.points - state.before
    size = norms.per_image(state.step)
    target = state.points + size * norms.direction(threat.norm, state.gradient)
    target = norms.project(threat.norm, state.clean, target, state.epsilon)
    mixed = state.points + share * (target - state.points) + (1 - share) * drift
    state.before = state.points
    state.points = norms.project(threat.norm, state.clean, mixed, state.epsilon)


def _remember(state: _State, values: Tensor, first: bool) -> None:
    better = values > state.best_loss
    state.best = torch.where(norms.per_image(better), state.points, state.best)
    state.best_gradient = torch.where(norms.per_image(better), state.gradient, state.best_gradient)
    state.best_loss = torch.where(better, values, state.best_loss)
    # the published code compares the first step with a zero loss, below every cross-entropy: it counts as a rise
    state.rises = state.rises + (torch.ones_like(better) if first else values > state.last_loss)
    state.last_loss = values


def _checkpoint(state: _State, window: int) -> None:
    stuck = ~state.halved & (state.checked_loss >= state.best_loss)
    halve = (state.rises <= window * RISING_SHARE) | stuck
    state.step = torch.where(halve, state.step / 2, state.step)
    state.points = torch.where(norms.per_image(halve), state.best, state.points)
    state.gradient = torch.where(norms.per_image(halve), state.best_gradient, state.gradient)
    state.halved, state.checked_loss, state.rises = halve, state.best_loss, torch.zeros_like(state.rises)
