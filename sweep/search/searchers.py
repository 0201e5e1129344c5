"""what was tried -> what to try next: random, and Optuna's TPE, NSGA-II and Gaussian process, asked and told directly."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState, create_trial

from sweep.core.errors import InputError, suggestion
from sweep.core.seeds import named_seed
from sweep.search.axes import Axis, make_axes
from sweep.search.sampling import Scalar, active, by_dependency, drawn, satisfies

Config = dict[str, Scalar]
Values = Sequence[float | None] | None  # one per objective; None when the trial failed
POPULATION = 20  # of NSGA-II: a sweep has tens of trials, not thousands
_SEED_LIMIT = 2**32  # NumPy's old generators, which Optuna uses, take no more


class Searcher(Protocol):
    """Proposes configurations and learns from their results; any number may be open at once."""

    def ask(self) -> tuple[int, Config]:
        """A token, counted up from `first`, and the hyperparameters in use."""

    def tell(self, token: int, values: Values) -> None:
        """The result of an asked configuration; anything but a finite number for every objective counts as failed."""

    def restore(self, token: int, config: Config) -> None:
        """Stand where `ask` had just returned this: how a resumed sweep takes up what it had asked for."""

    def warm_start(self, results: Sequence[tuple[Mapping[str, Scalar], Values]]) -> int:
        """Learn from results of an earlier sweep; returns how many fit the space."""


class RandomSearcher:
    """Draw number n whatever happened before."""

    def __init__(self, space: Space, goals: Sequence[str], seed: int, first: int) -> None:
        self._space, self._seed, self._next = space, seed, first
        self._open: set[int] = set()

    def ask(self) -> tuple[int, Config]:
        """The next draw."""
        token, self._next = self._next, self._next + 1
        self._open.add(token)
        return token, drawn(self._space.search, self._space.known, token, self._seed)

    def restore(self, token: int, config: Config) -> None:
        """The draw was handed out before."""
        self._open.add(token)
        self._next = max(self._next, token + 1)

    def tell(self, token: int, values: Values) -> None:
        """Nothing is learnt."""
        self._open.remove(token)

    def warm_start(self, results: Sequence[tuple[Mapping[str, Scalar], Values]]) -> int:
        """Nothing is learnt."""
        return 0


class OptunaSearcher:
    """An Optuna study in memory, asked and told.

    The first proposal is the middle of every range: what the sweep config's author would try first, and a measure for what follows. Until
    `startup` results are in, the others are the random searcher's draws of the same seed. Every later proposal depends on the
    results told, in their order, and on (seed, number of the proposal): a searcher built anew after a crash goes on as before,
    except NSGA-II, which puts all results of before into its first generation.
    """

    def __init__(self, space: Space, goals: Sequence[str], seed: int, first: int, sampler: Sampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._seed, self._next, self._sampler = space, seed, first, sampler
        self._axes = make_axes(space.search)
        self._study = optuna.create_study(directions=list(goals), sampler=sampler.build(0))
        self._numbers: dict[int, int] = {}  # token -> Optuna's number of the trial
        self._results = 0

    def ask(self) -> tuple[int, Config]:
        """The next proposal."""
        token, self._next = self._next, self._next + 1
        if self._results < self._sampler.startup:
            config = self._middle() if token == 0 else drawn(self._space.search, self._space.known, token, self._seed)
            self._numbers[token] = self._add(config, TrialState.RUNNING)
        else:
            self._numbers[token], config = self._propose(token)
        return token, config

    def restore(self, token: int, config: Config) -> None:
        """The proposal was handed out before."""
        self._numbers[token] = self._add(config, TrialState.RUNNING)
        self._next = max(self._next, token + 1)

    def tell(self, token: int, values: Values) -> None:
        """Close a trial: complete with finite values, failed otherwise."""
        number, sound = self._numbers.pop(token), finite(values, len(self._study.directions))
        if sound is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, sound)
            self._results += 1

    def warm_start(self, results: Sequence[tuple[Mapping[str, Scalar], Values]]) -> int:
        """Add finished trials whose values the space can express; failures teach nothing."""
        taken = 0
        for config, values in results:
            sound = finite(values, len(self._study.directions))
            used = self._space.in_use(config)
            if sound is not None and all(name in config for name in used):
                try:
                    self._add({name: config[name] for name in used}, TrialState.COMPLETE, sound)
                except ValueError:  # a value that the space no longer holds
                    continue
                taken += 1
        self._results += taken
        return taken

    def _middle(self) -> Config:
        return self._space.define_by_run(lambda name: self._axes[name].decode(self._axes[name].middle))

    def _propose(self, token: int) -> tuple[int, Config]:
        self._study.sampler = self._sampler.build(named_seed(self._seed, "searcher", token) % _SEED_LIMIT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's experimental features, and names that a condition hides at times
            trial = self._study.ask()
            return trial.number, self._space.define_by_run(lambda name: _suggest(trial, name, self._axes[name]))

    def _add(self, config: Config, state: TrialState, values: list[float] | None = None) -> int:
        coordinates = {name: self._axes[name].encode(value) for name, value in config.items()}
        spaces = {name: self._axes[name].coordinate for name in config}
        self._study.add_trial(
            create_trial(
                state=state,
                params=coordinates,
                distributions=spaces,
                values=values,
                system_attrs=dict(self._sampler.marks),
            )
        )
        return len(self._study.get_trials(deepcopy=False)) - 1


@dataclass(frozen=True)
class Space:
    """What is searched, and what the conditions may refer to beside it."""

    search: Mapping[str, Any]
    known: Mapping[str, Scalar]

    def define_by_run(self, value_of: Callable[[str], Scalar]) -> Config:
        """Ask for one value after another, parents first, and only for those whose conditions hold."""
        config: Config = {}
        for name in by_dependency(self.search):
            if active(name, self.search, {**self.known, **config}):
                config[name] = value_of(name)
        return config

    def in_use(self, config: Mapping[str, Scalar]) -> list[str]:
        """The searched names whose conditions hold in `config`."""
        return list(self.define_by_run(config.get))


@dataclass(frozen=True)
class Sampler:
    """How to make one of Optuna's samplers from a seed, and what it needs of its study."""

    build: Callable[[int], BaseSampler]
    startup: int
    marks: tuple[tuple[str, Any], ...] = ()


def _suggest(trial: optuna.Trial, name: str, axis: Axis) -> Scalar:
    space = axis.coordinate
    if isinstance(space, CategoricalDistribution):
        return axis.decode(trial.suggest_categorical(name, space.choices))
    if isinstance(space, IntDistribution):
        return axis.decode(trial.suggest_int(name, space.low, space.high))
    return axis.decode(trial.suggest_float(name, space.low, space.high, log=space.log))


def finite(values: Values, count: int) -> list[float] | None:
    """The values as floats, or None unless all `count` of them are finite."""
    if values is None or len(values) != count or any(value is None or not math.isfinite(value) for value in values):
        return None
    return [float(value) for value in values]


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


def _tpe(seed: int) -> TPESampler:
    return TPESampler(seed=seed, n_startup_trials=0)


def _nsga2(seed: int) -> NSGAIISampler:
    return NSGAIISampler(seed=seed, population_size=POPULATION)


def _gp(seed: int) -> GPSampler:
    # The process models what every trial has; hyperparameters that a condition hides at times are left to TPE.
    return GPSampler(seed=seed, n_startup_trials=0, independent_sampler=_tpe(seed))


_FIRST_GENERATION = ((f"{NSGAIISampler.__name__}:generation", 0),)  # Optuna's mark, without which a result is no parent
SEARCHERS: Mapping[str, Sampler | None] = {
    "random": None,
    "tpe": Sampler(_tpe, startup=10),
    "nsga2": Sampler(_nsga2, startup=POPULATION, marks=_FIRST_GENERATION),
    "gp": Sampler(_gp, startup=6),
}


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
    sampler = SEARCHERS[name]
    return (
        RandomSearcher(space, goals, seed, first)
        if sampler is None
        else OptunaSearcher(space, goals, seed, first, sampler)
    )
