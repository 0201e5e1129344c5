"""Which epsilon is tried on which image: every one that could break it, or only those near its decision boundary.

`try_every_epsilon` (exact mode) tries each epsilon on every unbroken image, so it breaks whatever one call per epsilon breaks.
`narrow_down` (fast mode) assumes nested balls: an image that stands at 4/255 is tried at 2/255 only when another threat
breaks it there.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from sweep.attacks.chunk import Chunk
from sweep.attacks.referee import ROUNDING
from sweep.attacks.threat import Threat


def try_every_epsilon(chunk: Chunk, names: Collection[str]) -> None:
    """Ascending; all threats `names` run at one epsilon before the next, so that with `together` each skips what another has broken."""
    last = len(chunk.epsilons) - 1
    for index in range(len(chunk.epsilons)):
        for name in _order(chunk, names):
            if chunk.threats[name].once and index < last:
                continue
            rows = (chunk.broken_at(name) > index).nonzero().squeeze(1)
            chunk.attempt(name, rows, torch.full_like(rows, index))


def narrow_down(chunk: Chunk, names: Collection[str]) -> None:
    """Start each threat at the epsilon where the threats before it (or a linear model at the clean image) place the boundary."""
    if not len(chunk.epsilons):
        return
    guess = _linear_guess(chunk)
    for name in _order(chunk, names):
        threat = chunk.threats[name]
        if _one_pass(threat):
            _ascend(chunk, name, chunk.right)
            continue
        if threat.once:
            rows = chunk.right.nonzero().squeeze(1)
            chunk.attempt(name, rows, torch.full_like(rows, len(chunk.epsilons) - 1))
            continue
        _narrow(chunk, name, guess if threat.uses_gradient else torch.full_like(guess, len(chunk.epsilons)))
        if threat.uses_gradient:
            guess = chunk.broken_at(name)
    for name in names:
        if chunk.threats[name].uses_gradient and not chunk.threats[name].once:
            _ascend(chunk, name, chunk.broken_at(name) > chunk.broken_at_worst())


def _narrow(chunk: Chunk, name: str, guess: Tensor) -> None:
    stands_at = torch.full_like(guess, -1)
    guess = guess.clone()
    while True:
        high = chunk.broken_at(name)
        rows = (high - stands_at > 1).nonzero().squeeze(1)
        if not len(rows):
            return
        index = torch.minimum(torch.maximum(guess[rows], stands_at[rows] + 1), high[rows] - 1)
        chunk.attempt(name, rows, index)
        stood = chunk.broken_at(name)[rows] > index
        stands_at[rows[stood]] = index[stood]
        guess[rows] = torch.where(stood, index + 1, index - 1)


def _ascend(chunk: Chunk, name: str, chosen: Tensor) -> None:
    """Epsilons not tried yet, from the smallest at which any threat breaks the image, until this one breaks it too."""
    everything = _one_pass(chunk.threats[name])
    for index in range(len(chunk.epsilons)):
        worth = chosen & ~chunk.tried[name][:, index] & (chunk.broken_at(name) > index)
        if not everything:
            worth &= chunk.broken_at_worst() <= index
        rows = worth.nonzero().squeeze(1)
        chunk.attempt(name, rows, torch.full_like(rows, index))


def _linear_guess(chunk: Chunk) -> Tensor:
    """Index of the epsilon [N] at which a linear model of the clean loss would break; the middle where no gradient is known."""
    middle = torch.full((len(chunk.images),), len(chunk.epsilons) // 2, device=chunk.images.device)
    if chunk.clean_gradient is None or chunk.labels.ndim == 2:
        return middle
    logits = chunk.logits.double()
    right = logits.gather(1, chunk.labels[:, None])
    others = logits.scatter(1, chunk.labels[:, None], -torch.inf)
    gap = right.squeeze(1) - others.amax(dim=1)
    wrong_share = others.logsumexp(dim=1) - logits.logsumexp(
        dim=1
    )  # log of the factor between margin and loss gradient
    slope = chunk.clean_gradient.double().abs().flatten(1).sum(dim=1) / wrong_share.exp().clamp(min=1e-300)
    return torch.searchsorted(chunk.epsilons, gap / slope.clamp(min=1e-12))


def _one_pass(threat: Threat) -> bool:
    """One forward pass per epsilon: cheap enough to try everywhere, and a break by a small step need not imply one by a larger step."""
    return threat.uses_gradient and threat.steps * threat.restarts == 1


def _order(chunk: Chunk, names: Collection[str]) -> list[str]:
    """Cheapest first where one break is enough; else many steps first, whose early points are reused by one-step threats."""
    work = {name: chunk.threats[name].steps * chunk.threats[name].restarts for name in names}
    return sorted(work, key=lambda name: work[name], reverse=not chunk.together)


def bisect(chunk: Chunk, name: str, rounds: int) -> Tensor:
    """Refined breaking epsilon float64 [N]: the gap below the one found, halved `rounds` times; inf and 0 stay.

    Every point queried on the way counts, so the result may lie below the last midpoint.
    """
    nearest = chunk.referees[name].nearest
    grid = torch.cat([chunk.epsilons.new_zeros(1), chunk.epsilons])
    low = grid[chunk.broken_at(name).clamp(max=len(grid) - 1)]
    if not chunk.threats[name].once:  # a minimum-norm attack has refined already
        rows = (
            (chunk.right & torch.isfinite(nearest) & (chunk.broken_at(name) < len(chunk.epsilons))).nonzero().squeeze(1)
        )
        for _ in range(rounds):
            middle = (low[rows] + nearest[rows].minimum(chunk.epsilons[-1])) / 2
            chunk.attempt_within(name, rows, middle)
            low[rows] = torch.where(nearest[rows] > middle + ROUNDING, middle, low[rows].minimum(nearest[rows]))
    return torch.where(chunk.right, nearest, 0.0)
