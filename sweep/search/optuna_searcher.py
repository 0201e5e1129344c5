"""Optuna's TPE, NSGA-II and Gaussian process as searchers, asked and told directly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState, create_trial

from sweep.core.hyperparameter import Scalar
from sweep.core.seeds import named_seed
from sweep.search.axes import Axis, make_axes
from sweep.search.sampling import drawn
from sweep.search.searchers import Space, Values, finite

POPULATION = 20  # of NSGA-II: a sweep has tens of trials, not thousands
_SEED_LIMIT = 2**32  # NumPy's old generators, which Optuna uses, take no more


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

    def ask(self) -> tuple[int, dict[str, Scalar]]:
        """The next proposal."""
        token, self._next = self._next, self._next + 1
        if self._results < self._sampler.startup:
            config = self._middle() if token == 0 else drawn(self._space.search, self._space.known, token, self._seed)
            self._numbers[token] = self._add(config, TrialState.RUNNING)
        else:
            self._numbers[token], config = self._propose(token)
        return token, config

    def restore(self, token: int, config: dict[str, Scalar]) -> None:
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

    def _middle(self) -> dict[str, Scalar]:
        return self._space.define_by_run(lambda name: self._axes[name].decode(self._axes[name].middle))

    def _propose(self, token: int) -> tuple[int, dict[str, Scalar]]:
        self._study.sampler = self._sampler.build(named_seed(self._seed, "searcher", token) % _SEED_LIMIT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's experimental features, and names that a condition hides at times
            trial = self._study.ask()
            return trial.number, self._space.define_by_run(lambda name: _suggest(trial, name, self._axes[name]))

    def _add(self, config: dict[str, Scalar], state: TrialState, values: list[float] | None = None) -> int:
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


def _tpe(seed: int) -> TPESampler:
    return TPESampler(seed=seed, n_startup_trials=0)


def _nsga2(seed: int) -> NSGAIISampler:
    return NSGAIISampler(seed=seed, population_size=POPULATION)


def _gp(seed: int) -> GPSampler:
    # The process models what every trial has; hyperparameters that a condition hides at times are left to TPE.
    return GPSampler(seed=seed, n_startup_trials=0, independent_sampler=_tpe(seed))


_FIRST_GENERATION = ((f"{NSGAIISampler.__name__}:generation", 0),)  # Optuna's mark, without which a result is no parent
SAMPLERS: Mapping[str, Sampler] = {
    "tpe": Sampler(_tpe, startup=10),
    "nsga2": Sampler(_nsga2, startup=POPULATION, marks=_FIRST_GENERATION),
    "gp": Sampler(_gp, startup=6),
}
