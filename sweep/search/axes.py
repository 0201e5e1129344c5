"""distribution of the sweep config <-> the coordinate that Optuna sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import norm

from sweep.search.sampling import Scalar, at_quantile, grid_steps, on_grid, quantiles


@dataclass(frozen=True)
class Axis:
    """One hyperparameter as a coordinate: steps and ordered values become whole numbers, a normal one its quantile."""

    distribution: Any
    coordinate: BaseDistribution
    choices: tuple[Scalar, ...] = ()

    @property
    def middle(self) -> int | float:
        """The coordinate halfway, on the axis's own scale; the first of choices without an order."""
        space = self.coordinate
        if isinstance(space, CategoricalDistribution):
            return space.choices[0]
        if isinstance(space, IntDistribution):
            return (space.low + space.high) // 2
        return math.sqrt(space.low * space.high) if space.log else (space.low + space.high) / 2

    def decode(self, coordinate: int | float) -> Scalar:
        """The hyperparameter's value at a coordinate."""
        asked = self.distribution
        if asked.distribution == "values":
            return self.choices[int(coordinate)]
        if asked.distribution == "normal":
            return at_quantile(asked, coordinate)
        if asked.distribution == "q_uniform":
            return on_grid(asked, int(coordinate))
        return int(coordinate) if asked.distribution == "int_uniform" else float(coordinate)

    def encode(self, value: Scalar) -> int | float:
        """The coordinate of a value. Raises ValueError when the value lies outside of the distribution."""
        asked = self.distribution
        if asked.distribution == "values":
            return _place(value, self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is not a number")
        if asked.distribution == "normal":
            if (asked.min is not None and value < asked.min) or (asked.max is not None and value > asked.max):
                raise ValueError(f"{value!r} is outside of what is drawn")
            low, high = quantiles(asked)
            return float(min(max(norm.cdf(value, asked.mean, asked.sd), low), high))
        if not asked.min <= value <= asked.max:
            raise ValueError(f"{value!r} is outside of [{asked.min:g}, {asked.max:g}]")
        if asked.distribution == "q_uniform":
            return min(round((value - asked.min) / asked.q), self.coordinate.high)
        return int(value) if asked.distribution == "int_uniform" else float(value)


def make_axis(distribution: Any) -> Axis:
    """The coordinate that suits a distribution; listed numbers keep their order, other listed values have none."""
    kind, low, high = distribution.distribution, distribution.min, distribution.max
    if kind == "values":
        return _listed(distribution)
    if kind == "normal":
        return Axis(distribution, FloatDistribution(*quantiles(distribution)))
    if kind == "int_uniform":
        return Axis(distribution, IntDistribution(math.ceil(low), math.floor(high)))
    if kind == "q_uniform":
        return Axis(distribution, IntDistribution(0, grid_steps(distribution)))
    return Axis(distribution, FloatDistribution(low, high, log=kind == "log_uniform"))


def make_axes(search: Mapping[str, Any]) -> dict[str, Axis]:
    """An axis for every searched hyperparameter."""
    return {name: make_axis(distribution) for name, distribution in search.items()}


def _listed(distribution: Any) -> Axis:
    values = tuple(distribution.values)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return Axis(distribution, IntDistribution(0, len(values) - 1), tuple(sorted(values)))
    return Axis(distribution, CategoricalDistribution(tuple(range(len(values)))), values)


def _place(value: Scalar, choices: tuple[Scalar, ...]) -> int:
    for place, choice in enumerate(choices):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):  # True == 1, but is another choice
            return place
    raise ValueError(f"{value!r} is none of {list(choices)}")
