"""Results per configuration and seed -> which configurations get another seed, which are dropped, and the evidence for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sweep.search.evidence import e_value, lower_bound
from sweep.search.paired_differences import Lead, Scores, leads
from sweep.search.pareto import oriented

State = Literal["race", "dropped", "done"]


@dataclass(frozen=True)
class Standing:
    """ "race": gets another seed; "dropped": shown not to be the best; "done": another seed would decide nothing."""

    state: State
    seeds: int
    reason: str


@dataclass(frozen=True)
class Race:
    """The rules of a race.

    A configuration is dropped once the evidence that it is not the best reaches 1 / `alpha`. The evidence is the mean over its rivals of the
    e-value that the rival is ahead (of several objectives the smallest, since the rival must be ahead in every one). A mean of e-values
    is one, so the probability that the truly best configuration is *ever* dropped is at most `alpha`, however often the race is looked at,
    wherever it is stopped, and whether or not `max_seeds` is raised later (Ville 1939; Ramdas et al. 2023, arXiv 2210.01948).
    Chance is the choice of seeds alone: the images are the ones at hand.
    """

    goals: Sequence[str]
    min_seeds: int
    max_seeds: int
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not 2 <= self.min_seeds <= self.max_seeds:
            raise ValueError(f"a race needs 2 <= min_seeds <= max_seeds; got {self.min_seeds} and {self.max_seeds}")

    @property
    def needed(self) -> float:
        """Evidence that drops a configuration."""
        return 1 / self.alpha

    def standings(
        self, results: Mapping[str, Mapping[int, Sequence[float | None] | None]], *, ended: Collection[str] = ()
    ) -> dict[str, Standing]:
        """Judge every configuration but the `ended` ones from its results: name -> seed -> one value per objective, None for a failed seed.

        Those that have ended stay rivals of the others: leaving them out would change what the evidence is a mean of.
        """
        scores = {name: self._scores(seeds) for name, seeds in results.items()}
        table = leads(scores, least=self.min_seeds)
        standings = {
            name: self._judge(name, results[name], scores[name], table) for name in results if name not in ended
        }
        return self._without_lonely_winner(standings)

    def _scores(self, seeds: Mapping[int, Sequence[float | None] | None]) -> Scores:
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
        rivals = {rival: ahead for (rival, other), ahead in table.items() if other == name}
        evidence = {rival: min(e_value(lead) for lead in ahead) for rival, ahead in rivals.items()}
        total = sum(evidence.values()) / len(rivals) if rivals else 0.0
        if total >= self.needed:
            winner = max(evidence, key=lambda rival: evidence[rival])
            return Standing("dropped", count, self._because(winner, rivals[winner], len(rivals), total))
        return Standing("race", count, f"could still be the best after {count} seeds")

    def _because(self, winner: str, ahead: Sequence[Lead], rivals: int, total: float) -> str:
        bounds = [(lead, lower_bound(lead, self.needed)) for lead in ahead]
        amounts = " and ".join(f"{lead.estimate:.4g} (at least {low:.4g})" for lead, low in bounds)
        evidence = f"{total:.3g}" if total < 1e6 else "over 1e+06"
        return (
            f"{winner} is ahead by {amounts} over {ahead[0].seeds} common seeds "
            f"(evidence {evidence} to 1 over {rivals} rivals, {self.needed:.3g} needed)"
        )

    @staticmethod
    def _without_lonely_winner(standings: dict[str, Standing]) -> dict[str, Standing]:
        alive = [name for name, standing in standings.items() if standing.state != "dropped"]
        if len(alive) == 1 < len(standings) and standings[alive[0]].state == "race":
            standings[alive[0]] = Standing(
                "done", standings[alive[0]].seeds, "no other configuration is left in the race"
            )
        return standings


def _is_sound(values: Sequence[float | None] | None) -> bool:
    return values is not None and bool(np.isfinite(np.array(values, dtype=float)).all())
