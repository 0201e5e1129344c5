"""distributions + a seed -> hyperparameters; every draw has a name, so adding one changes no other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from sweep.core.hyperparameter import Scalar
from sweep.core.seeds import rng

_GRID_ROUNDING = 1e-9  # (0.3 - 0.1) / 0.1 is 1.9999999999999998
_GRID_DIGITS = 12
_TAIL = 1e-4  # of a normal distribution, on either side: nothing beyond 3.7 standard deviations is drawn or searched


def drawn(search: Mapping[str, Any], known: Mapping[str, Scalar], number: int, seed: int = 0) -> dict[str, Scalar]:
    """The searched hyperparameters of draw `number`, without those whose condition is not satisfied.

    A value depends on (seed, name, number) alone. `known` holds what is fixed or belongs to the cell of the grid.
    """
    config: dict[str, Scalar] = dict(known)
    values: dict[str, Scalar] = {}
    for name in by_dependency(search):
        if active(name, search, config):
            config[name] = values[name] = draw(search[name], rng(seed, "search", name, number))
    return values


def active(name: str, search: Mapping[str, Any], config: Mapping[str, Scalar]) -> bool:
    """Whether all `when:` rules of a name hold in `config`; a rule on a searched name that was not drawn does not hold."""
    rules = search[name].when or {}
    return all(
        (other in config or other not in search) and satisfies(rule, config.get(other)) for other, rule in rules.items()
    )


def by_dependency(search: Mapping[str, Any]) -> Iterator[str]:
    """Names ordered so that the hyperparameters of a `when:` condition come before the one that depends on it."""
    waiting = list(search)
    while waiting:
        ready = [name for name in waiting if not (set(search[name].when or {}) & set(waiting)) - {name}]
        for name in ready or waiting[:1]:
            waiting.remove(name)
            yield name


def satisfies(rule: Any, value: Scalar) -> bool:
    """Whether a `when:` rule accepts a value: a scalar, a list of scalars, or {not: scalar or list}."""
    if isinstance(rule, Mapping):
        return not satisfies(rule["not"], value)
    return value in rule if isinstance(rule, list) else value == rule


def draw(distribution: Any, generator: np.random.Generator) -> Scalar:
    """One value of a distribution of the sweep config."""
    kind = distribution.distribution
    if kind == "values":
        return distribution.values[int(generator.choice(len(distribution.values), p=distribution.probabilities))]
    if kind == "normal":
        return at_quantile(distribution, float(generator.uniform(*quantiles(distribution))))
    low, high = distribution.min, distribution.max
    if kind == "int_uniform":
        return int(generator.integers(low, high, endpoint=True))
    if kind == "log_uniform":
        return float(math.exp(generator.uniform(math.log(low), math.log(high))))
    if kind == "q_uniform":
        return on_grid(distribution, int(generator.integers(0, grid_steps(distribution), endpoint=True)))
    return float(generator.uniform(low, high))


def grid_steps(distribution: Any) -> int:
    """Steps of `q` between `min` and the largest grid point that does not exceed `max` (q_uniform)."""
    return math.floor((distribution.max - distribution.min) / distribution.q + _GRID_ROUNDING)


def on_grid(distribution: Any, step: int) -> float:
    """The grid point `step` steps of `q` above `min`, without the rounding error of the sum."""
    return float(round(distribution.min + step * distribution.q, _GRID_DIGITS))


def quantiles(distribution: Any) -> tuple[float, float]:
    """The part of a normal distribution that is drawn: between its `min` and `max` where given, and without its tails."""
    bell = NormalDist(distribution.mean, distribution.sd)
    low = _TAIL if distribution.min is None else max(_TAIL, bell.cdf(distribution.min))
    high = 1 - _TAIL if distribution.max is None else min(1 - _TAIL, bell.cdf(distribution.max))
    return low, high


def at_quantile(distribution: Any, quantile: float) -> float:
    """The value of a normal distribution at a quantile of its uncut form, never outside of `min` and `max`."""
    value = NormalDist(distribution.mean, distribution.sd).inv_cdf(quantile)
    value = value if distribution.min is None else max(distribution.min, value)
    return value if distribution.max is None else min(distribution.max, value)


def bounds(distribution: Any) -> tuple[float, float] | None:
    """The smallest and the largest value that a distribution of numbers draws; None of listed values."""
    if distribution.distribution == "values":
        return None
    if distribution.distribution != "normal":
        return distribution.min, distribution.max
    low, high = quantiles(distribution)
    return (at_quantile(distribution, low), at_quantile(distribution, high)) if low < high else (math.inf, -math.inf)
