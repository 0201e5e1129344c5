"""The row type of hyperparameters: what one sets, the types it takes, its default, its range, and since when it exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sweep.core.errors import suggestion

Scalar = str | int | float | bool | None
FIRST = "0.1"  # the version whose rows are all part of a configuration's identity


class _SameAsDefault:
    """Type of the mark that a row behaved as its default does before it was introduced."""


SAME_AS_DEFAULT = _SameAsDefault()


@dataclass(frozen=True)
class Hyperparameter:
    """One row: what it sets, the types it takes, its default and a check that returns a violation or None.

    `since` is the version that introduced it, `before` the value that describes what earlier versions did.
    """

    describe: str
    kinds: tuple[type, ...]
    default: Scalar
    check: Callable[[Any], str | None] = lambda value: None
    optional: bool = False
    since: str = FIRST
    before: Scalar | _SameAsDefault = SAME_AS_DEFAULT

    @property
    def introduced_with(self) -> Scalar:
        """The value that configurations written before the row existed are taken to have."""
        return self.default if isinstance(self.before, _SameAsDefault) else self.before

    def violation(self, value: Any) -> str | None:
        """Why `value` cannot be used, with the fix; None when it can."""
        if value is None:
            return None if self.optional else "has no value; give one"
        if (isinstance(value, bool) and bool not in self.kinds) or not isinstance(value, self._accepted):
            return f"{value!r} is {_noun(value)}; give {' or '.join(_NOUNS[kind] for kind in self.kinds)}"
        return self.check(value)

    @property
    def _accepted(self) -> tuple[type, ...]:
        return (*self.kinds, int) if float in self.kinds else self.kinds


_NOUNS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _noun(value: Any) -> str:
    return _NOUNS.get(type(value), f"a {type(value).__name__}")


def between(low: float, high: float) -> Callable[[Any], str | None]:
    """A check that the value lies in [low, high]."""
    return lambda value: (
        None if low <= value <= high else f"{value} is out of range; give a number from {low} to {high}"
    )


def zero_or(check: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """A check that lets 0, which turns something off, through."""
    return lambda value: None if value == 0 else check(value)


def one_of(table: Callable[[], Iterable[str]]) -> Callable[[Any], str | None]:
    """A check that the value is a row of a table, which is looked up only when asked."""

    def check(value: str) -> str | None:
        names = list(table())
        return None if value in names else f"{value!r} is unknown; {suggestion(value, names)}"

    check.table = table  # for the JSON Schema
    return check


def one_of_numbers(*numbers: int) -> Callable[[Any], str | None]:
    """A check that the value is one of a few numbers."""
    return lambda value: None if value in numbers else f"{value} is not offered; give {' or '.join(map(str, numbers))}"
