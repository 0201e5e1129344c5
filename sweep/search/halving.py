"""reports of running trials -> continue or stop: asynchronous successive halving over one or several objectives."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sweep.search.pareto import oriented, preference

Decision = Literal["continue", "stop"]


@dataclass
class ParetoHalving:
    """Stops a trial at a rung unless it is among the best 1/eta of those that came there before it.

    Rungs lie at grace, grace * eta, grace * eta^2, ... epochs, below `epochs`, the length of a whole trial. A trial is judged at a rung
    once, by its first report at or after it, and never at a rung that it passed over. Several objectives are ordered by front, then
    crowding distance, then sum; one objective is ordered by itself, and the rule is then ASHA's (Li et al. 2020).
    A value that is missing or not finite cannot be compared: such a trial is stopped at the first rung that a sound one has reached.
    Decisions follow from the reports and their order alone, so replaying them restores the state.
    """

    goals: Sequence[str]
    grace: int
    eta: float = 3
    epochs: int | None = None
    reasons: dict[Hashable, str] = field(default_factory=dict)  # why each stopped trial was stopped
    _rungs: dict[float, dict[Hashable, tuple[float, ...] | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.grace < 1 or self.eta <= 1:
            raise ValueError(f"grace {self.grace} must be at least 1 and eta {self.eta:g} above 1")

    def decide(self, trial: Hashable, epoch: int, values: Sequence[float | None]) -> Decision:
        """Take the report of a trial after `epoch` epochs, one value per objective; says whether it should go on."""
        rung = self.rung_of(epoch)
        if rung is None or trial in self._rungs.setdefault(rung, {}):
            return "continue"
        before = [point for point in self._rungs[rung].values() if point is not None]
        point = self._rungs[rung][trial] = self._point(values)
        if not before or (point is not None and _among_best(np.array([*before, point]), self.eta)):
            return "continue"
        self.reasons[trial] = self._reason(rung, len(before), point)
        return "stop"

    def rung_of(self, epoch: int) -> float | None:
        """The highest rung at or below `epoch`; None before the first one and once the trial is at its end."""
        if epoch < self.grace or (self.epochs is not None and epoch >= self.epochs):
            return None
        rung = float(self.grace)
        while rung * self.eta <= epoch:
            rung *= self.eta
        return rung

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which a trial of `epochs` epochs is judged, and so needs its objectives measured."""
        found = (self.rung_of(epoch) for epoch in range(1, epochs))
        first: dict[float, int] = {}
        for epoch, rung in enumerate(found, start=1):
            if rung is not None:
                first.setdefault(rung, epoch)
        return tuple(first.values())

    def _point(self, values: Sequence[float | None]) -> tuple[float, ...] | None:
        numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
        return tuple(oriented(numbers, self.goals)[0]) if np.isfinite(numbers).all() else None

    def _reason(self, rung: float, before: int, point: tuple[float, ...] | None) -> str:
        if point is None:
            return f"epoch {rung:g}: an objective has no finite value"
        return f"epoch {rung:g}: not among the best 1/{self.eta:g} of the {before} trials that came there before"


def _among_best(points_NM: np.ndarray, eta: float) -> bool:
    """Whether the last point is not below the (1 - 1/eta) quantile of the others."""
    scores = points_NM[:, 0] if points_NM.shape[1] == 1 else -preference(points_NM).astype(float)
    return bool(scores[-1] >= np.percentile(scores[:-1], (1 - 1 / eta) * 100))
