"""question -> studies -> configurations: what is crossed, what is drawn, and how often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.core.seeds import rng
from sweep.hyperparameters import Scalar, complete

Config = dict[str, Scalar]


@dataclass(frozen=True)
class Study:
    """One cell of the grid, searched alone with the same number of draws as every other cell."""

    cell: Config
    configs: tuple[Config, ...]


def studies(grid: Mapping[str, list[Scalar]], search: Mapping[str, Any], fixed: Config, trials: int, seed: int = 0) -> list[Study]:
    """Cross the grid; inside each cell draw `trials` configurations of the searched hyperparameters.

    A draw depends on (seed, name of the hyperparameter, number of the draw) alone: adding a hyperparameter or a cell
    reshuffles nothing, and every cell is shown the same draws.
    """
    cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    draws = trials if search else 1
    return [Study(cell, tuple(complete(_drawn(search, {**fixed, **cell}, number, seed)) for number in range(draws))) for cell in cells]


def _drawn(search: Mapping[str, Any], known: Config, number: int, seed: int) -> Config:
    config = dict(known)
    for name in _by_dependency(search):
        if all(holds(rule, config.get(other)) for other, rule in (search[name].when or {}).items()):
            config[name] = draw(search[name], rng(seed, "search", name, number))
    return config


def _by_dependency(search: Mapping[str, Any]) -> Iterator[str]:
    """Names ordered so that a `when:` condition is decided before what hangs on it."""
    waiting = list(search)
    done: set[str] = set()
    while waiting:
        ready = [name for name in waiting if not (set(search[name].when or {}) & set(waiting)) - {name}]
        for name in ready or waiting[:1]:
            waiting.remove(name)
            done.add(name)
            yield name


def holds(rule: Any, value: Scalar) -> bool:
    """Whether a `when:` rule accepts a value: a scalar, a list of scalars, or {not: scalar or list}."""
    if isinstance(rule, Mapping):
        return not holds(rule["not"], value)
    return value in rule if isinstance(rule, list) else value == rule


def draw(distribution: Any, generator: np.random.Generator) -> Scalar:
    """One value of a distribution of the question file."""
    kind = distribution.distribution
    if kind == "values":
        return distribution.values[int(generator.choice(len(distribution.values), p=distribution.probabilities))]
    if kind == "normal":
        return float(generator.normal(distribution.mean, distribution.sd))
    low, high = distribution.min, distribution.max
    if kind == "int_uniform":
        return int(generator.integers(low, high, endpoint=True))
    if kind == "log_uniform":
        return float(math.exp(generator.uniform(math.log(low), math.log(high))))
    value = float(generator.uniform(low, high))
    if kind == "q_uniform":
        return float(min(high, low + round((value - low) / distribution.q) * distribution.q))
    return value
