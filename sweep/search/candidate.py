"""Parts of a campaign: its rules, one configuration with its results, and an assignment of seeds to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sweep.core.conditions import Config
from sweep.search.halving import ParetoHalving
from sweep.search.racing import Race
from sweep.search.searchers import finite

Values = Sequence[float | None] | None  # one per objective; None: failed


@dataclass(frozen=True)
class Rules:
    """What is searched and how; the same in every study."""

    search: Mapping[str, Any]  # distributions of the sweep config
    goals: tuple[str, ...]
    metrics: tuple[str, ...]  # names of the objectives in the records
    algorithm: str = "random"
    draws: int = 1
    seed: int = 0
    seeds: int = 2  # that every configuration gets
    halving: Callable[[], ParetoHalving] | None = None
    judged: int | None = None  # halving looks at the first so many objectives; all when None
    race: Race | None = None


@dataclass(frozen=True)
class Assignment:
    """Seeds of one configuration to run next, one after another."""

    signature: str
    config: Config
    cell: Config
    seeds: tuple[int, ...]


@dataclass
class Candidate:
    """One configuration, which several draws may have yielded."""

    signature: str
    config: Config
    study: int
    outcomes: dict[int, Values] = field(default_factory=dict)  # by seed
    pending: set[int] = field(default_factory=set)  # seeds to hand out
    running: set[int] = field(default_factory=set)
    tokens: list[tuple[int, int]] = field(default_factory=list)  # (study, draw) that wait for its result
    ended: str | None = None  # why it gets no more seeds
    projection: Values = None  # of a stopped one: its projected final values

    @property
    def is_open(self) -> bool:
        """Whether a seed is still to come."""
        return bool(self.pending or self.running)

    def result(self, objectives: int) -> list[float] | None:
        """Mean of the sound seeds per objective, or of a stopped one its projection; None without either."""
        if self.projection is not None:
            return finite(self.projection, objectives)
        sound = [row for values in self.outcomes.values() if (row := finite(values, objectives))]
        return np.mean(sound, axis=0).tolist() if sound else None
