"""results per configuration and seed -> who deserves another seed, who is out of the race, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sweep.core.holm import holm
from sweep.search.paired_differences import Lead, Scores, leads
from sweep.search.pareto import oriented

State = Literal["race", "dropped", "done"]


@dataclass(frozen=True)
class Standing:
    """ "race": deserves another seed; "dropped": could not be the best any more; "done": another seed would tell nothing."""

    state: State
    seeds: int
    reason: str


@dataclass(frozen=True)
class Race:
    """The rules of a race.

    A configuration is dropped when another one is ahead of it in every objective, by paired differences over the seeds that both ran.
    `alpha` bounds the probability that the truly best configuration is ever dropped: it is shared equally by the rounds from `min_seeds`
    to `max_seeds` - 1, and in a round Holm's correction holds over all rivals of a configuration. Chance is the choice of seeds alone: the
    images are the ones at hand. How sure the answer is for other images is the report's to say, from the outcome of every image.
    """

    goals: Sequence[str]
    min_seeds: int
    max_seeds: int
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not 2 <= self.min_seeds <= self.max_seeds:
            raise ValueError(f"a race needs 2 <= min_seeds <= max_seeds; got {self.min_seeds} and {self.max_seeds}")

    @property
    def round_alpha(self) -> float:
        """What one round may spend."""
        return self.alpha / max(1, self.max_seeds - self.min_seeds)

    def standings(self, results: Mapping[str, Mapping[int, Sequence[float] | None]]) -> dict[str, Standing]:
        """Judge every configuration from its results: name -> seed -> one value per objective, None for a failed seed."""
        scores = {name: self._scores(seeds) for name, seeds in results.items()}
        table = leads(scores, least=self.min_seeds)
        standings = {name: self._judge(name, results[name], scores[name], table) for name in results}
        return self._without_lonely_winner(standings)

    def _scores(self, seeds: Mapping[int, Sequence[float] | None]) -> Scores:
        return {seed: oriented(np.array(values), self.goals)[0] for seed, values in seeds.items() if _is_sound(values)}

    def _judge(
        self, name: str, seeds: Mapping[int, object], scores: Scores, table: Mapping[tuple[str, str], list[Lead]]
    ) -> Standing:
        count = len(seeds)
        if count >= self.max_seeds:
            return Standing("done", count, f"has all {self.max_seeds} seeds")
        if count < self.min_seeds:
            return Standing("race", count, f"has {count} of at least {self.min_seeds} seeds")
        if not scores:
            return Standing("dropped", count, f"all {count} seeds failed")
        rivals = [rival for rival, other in table if other == name]
        adjusted = holm([max(lead.p for lead in table[rival, name]) for rival in rivals])
        if len(rivals) and adjusted.min() <= self.round_alpha:
            winner = rivals[int(adjusted.argmin())]
            return Standing(
                "dropped", count, self._because(winner, table[winner, name], len(rivals), float(adjusted.min()))
            )
        return Standing("race", count, f"could still be the best after {count} seeds")

    def _because(self, winner: str, ahead: Sequence[Lead], rivals: int, p: float) -> str:
        level = 1 - 2 * self.round_alpha / rivals
        amounts = []
        for lead in ahead:
            low, high = lead.interval(level)
            amounts.append(f"{lead.estimate:.4g} [{low:.4g}, {high:.4g}]")
        return f"{winner} is ahead by {' and '.join(amounts)} over {ahead[0].seeds} common seeds (p {p:.2g} after Holm, {self.round_alpha:.2g} allowed)"

    @staticmethod
    def _without_lonely_winner(standings: dict[str, Standing]) -> dict[str, Standing]:
        alive = [name for name, standing in standings.items() if standing.state != "dropped"]
        if len(alive) == 1 < len(standings) and standings[alive[0]].state == "race":
            standings[alive[0]] = Standing("done", standings[alive[0]].seeds, "nobody else is left in the race")
        return standings


def _is_sound(values: Sequence[float] | None) -> bool:
    return values is not None and bool(np.isfinite(np.array(values, dtype=float)).all())
