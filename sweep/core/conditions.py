"""When a hyperparameter is active: conditions over a complete configuration, as values that can be called and read.

An inactive hyperparameter is dropped from a configuration, so that equal trainings are equal trials. One whose condition looks at another
(a parent) is inactive wherever the parent is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """A test of a complete configuration, its words for the reference page (empty for one that always holds), and its parents."""

    holds: Callable[[Config], bool]
    text: str = ""
    parents: tuple[str, ...] = ()

    def __call__(self, config: Config) -> bool:
        return self.holds(config)

    def __and__(self, other: Condition) -> Condition:
        words = " and ".join(filter(None, (self.text, other.text)))
        return Condition(lambda config: self(config) and other(config), words, self.parents + other.parents)


ALWAYS = Condition(lambda config: True)


def above_zero(name: str) -> Condition:
    """Another hyperparameter is above zero."""
    return Condition(lambda config: config[name] > 0, f"`{name}` is above 0", (name,))


def is_one_of(name: str, *values: Any) -> Condition:
    """Another hyperparameter has one of these values."""
    return Condition(lambda config: config[name] in values, f"`{name}` is {_listed(values)}", (name,))


def is_none_of(name: str, *values: Any) -> Condition:
    """Another hyperparameter has none of these values."""
    return Condition(lambda config: config[name] not in values, f"`{name}` is not {_listed(values)}", (name,))


def _listed(values: tuple[Any, ...]) -> str:
    return " or ".join("left out" if value is None else str(value) for value in values)
