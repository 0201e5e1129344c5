"""Completed trials -> the next configuration: random draws here, TPE, NSGA-II and Gaussian process in `optuna_searcher`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweep.core.errors import InputError, suggestion
from sweep.search.sampling import Scalar, active, by_dependency, drawn, satisfies

Values = Sequence[float | None] | None  # one per objective; None when the trial failed


class Searcher(Protocol):
    """Proposes configurations and learns from their results; any number may be open at once."""

    def ask(self) -> tuple[int, dict[str, Scalar]]:
        """A token, counted up from `first`, and the hyperparameters in use."""

    def tell(self, token: int, values: Values) -> None:
        """The result of an asked configuration; anything but a finite number for every objective counts as failed."""

    def restore(self, token: int, config: dict[str, Scalar]) -> None:
        """Stand where `ask` had just returned this: how a resumed sweep takes up what it had asked for."""

    def warm_start(self, results: Sequence[tuple[Mapping[str, Scalar], Values]]) -> int:
        """Learn from results of an earlier sweep; returns how many fit the space."""


class RandomSearcher:
    """Draw number n whatever happened before."""

    def __init__(self, space: Space, goals: Sequence[str], seed: int, first: int) -> None:
        self._space, self._seed, self._next = space, seed, first
        self._open: set[int] = set()

    def ask(self) -> tuple[int, dict[str, Scalar]]:
        """The next draw."""
        token, self._next = self._next, self._next + 1
        self._open.add(token)
        return token, drawn(self._space.search, self._space.known, token, self._seed)

    def restore(self, token: int, config: dict[str, Scalar]) -> None:
        """The draw was handed out before."""
        self._open.add(token)
        self._next = max(self._next, token + 1)

    def tell(self, token: int, values: Values) -> None:
        """Nothing is learnt."""
        self._open.remove(token)

    def warm_start(self, results: Sequence[tuple[Mapping[str, Scalar], Values]]) -> int:
        """Nothing is learnt."""
        return 0


@dataclass(frozen=True)
class Space:
    """What is searched, and what the conditions may refer to beside it."""

    search: Mapping[str, Any]
    known: Mapping[str, Scalar]

    def define_by_run(self, value_of: Callable[[str], Scalar]) -> dict[str, Scalar]:
        """Ask for one value after another, parents first, and only for those whose conditions hold."""
        config: dict[str, Scalar] = {}
        for name in by_dependency(self.search):
            if active(name, self.search, {**self.known, **config}):
                config[name] = value_of(name)
        return config

    def in_use(self, config: Mapping[str, Scalar]) -> list[str]:
        """The searched names whose conditions hold in `config`."""
        return list(self.define_by_run(config.get))


def finite(values: Values, count: int) -> list[float] | None:
    """The values as floats, or None unless all `count` of them are finite."""
    sound = [float(value) for value in values or () if value is not None and math.isfinite(value)]
    return sound if values is not None and len(values) == len(sound) == count else None


def reachable(search: Mapping[str, Any], known: Mapping[str, Scalar]) -> dict[str, Any]:
    """The searched names without those whose condition cannot hold beside `known`."""
    left: dict[str, Any] = {}
    for name in by_dependency(search):
        rules = search[name].when or {}
        if all(
            other in left or (other not in search and satisfies(rule, known.get(other)))
            for other, rule in rules.items()
        ):
            left[name] = search[name]
    return left


LEARNING = ("tpe", "nsga2", "gp")  # Optuna's, in `optuna_searcher`
SEARCHERS = ("random", *LEARNING)


def build_searcher(
    name: str,
    search: Mapping[str, Any],
    goals: Sequence[str],
    *,
    known: Mapping[str, Scalar] | None = None,
    seed: int = 0,
    first: int = 0,
) -> Searcher:
    """A searcher of one study.

    `search` maps names to distributions of the sweep config; `goals` is "maximize" or "minimize" per objective; `known` holds the
    fixed and grid values that conditions may refer to; `first` is the number of the first draw, above 0 when a sweep resumes.
    Raises InputError for an unknown name.
    """
    if name not in SEARCHERS:
        raise InputError("searcher.algorithm", f"{name!r} is unknown", suggestion(name, SEARCHERS))
    space = Space(reachable(search, known or {}), dict(known or {}))
    if name not in LEARNING:
        return RandomSearcher(space, goals, seed, first)
    from sweep.search.optuna_searcher import (  # half a second to load, and random draws do without
        SAMPLERS,
        OptunaSearcher,
    )

    return OptunaSearcher(space, goals, seed, first, SAMPLERS[name])
