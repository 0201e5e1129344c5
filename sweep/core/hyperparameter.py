"""The row of a hyperparameter: everything that is said about it, declared once in the folder that owns it.

From the row follow the check and the JSON Schema of sweep configs, the reference page, which configurations are equal, the arguments of the
constructors that take it, and what becomes of run folders that are older than it.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.core.conditions import ALWAYS, Condition
from sweep.core.errors import suggestion

Scalar = bool | int | float | str | None
FIRST = "0.1"  # the version whose rows are all part of a configuration's identity
_NOUNS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class _SameAsDefault:
    """Type of the mark that versions without a row behaved as its default does."""


SAME_AS_DEFAULT = _SameAsDefault()


class Check:
    """Which values of the right type a hyperparameter takes: all, unless a subclass says less."""

    text = ""  # for the reference page

    def violation(self, value: Any) -> str | None:
        """Why a value cannot be used, `; ` and the fix; None when it can."""
        return None

    def choices(self) -> list[Any]:
        """The only values there are; empty where they are not listed."""
        return []

    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest value; None without them."""
        return None


@dataclass(frozen=True)
class Between(Check):
    """A number of [low, high]; `or_zero` where 0 turns something off."""

    low: float
    high: float
    or_zero: bool = False

    @property
    def text(self) -> str:  # type: ignore[override]
        """The range in words."""
        return f"{'0 or ' if self.or_zero else ''}{_number(self.low)} to {_number(self.high)}"

    def violation(self, value: Any) -> str | None:
        """Out of the range."""
        if self.low <= value <= self.high or (self.or_zero and value == 0):
            return None
        return f"{value} is out of range; give a number from {_number(self.low)} to {_number(self.high)}"

    def bounds(self) -> tuple[float, float]:
        """The range, from 0 where that is a value too."""
        return (0 if self.or_zero else self.low), self.high


@dataclass(frozen=True)
class OneOf(Check):
    """A row of a table, which is looked up only when asked: tables lie in modules that import more than a row should."""

    table: Callable[[], Iterable[Any]]

    def violation(self, value: Any) -> str | None:
        """Not in the table."""
        known = self.choices()
        if value in known:
            return None
        if isinstance(value, str):
            return f"{value!r} is unknown; {suggestion(value, known)}"
        return f"{value} is not offered; give {' or '.join(map(str, known))}"

    def choices(self) -> list[Any]:
        """The table's names."""
        return list(self.table())


@dataclass(frozen=True)
class Accepted(Check):
    """Whatever a function accepts: it returns the violation and its fix, or None. `text` says it in words."""

    function: Callable[[Any], str | None]
    text: str

    def violation(self, value: Any) -> str | None:
        """What the function says."""
        return self.function(value)


ANYTHING = Check()


def between(low: float, high: float) -> Between:
    """A number of [low, high]."""
    return Between(low, high)


def zero_or(low: float, high: float) -> Between:
    """0, which turns something off, or a number of [low, high]."""
    return Between(low, high, or_zero=True)


def one_of(*values: Any) -> OneOf:
    """One of a few listed values."""
    return OneOf(lambda: values)


@dataclass(frozen=True)
class Hyperparameter:
    """One row.

    `kinds` are the types it takes (a number takes whole numbers too), `optional` rows take None, which means what `help` says.
    `active` says in which configurations it has an effect. `argument` is PART.NAME of the constructor's argument that it fills.
    `since` is the version that introduced it and `before` the value that describes what earlier versions did, where that is not the default.
    """

    name: str
    help: str
    kinds: tuple[type, ...]
    default: Scalar
    check: Check = ANYTHING
    _: dataclasses.KW_ONLY
    optional: bool = False
    active: Condition = ALWAYS
    argument: str | None = None
    since: str = FIRST
    before: Scalar | _SameAsDefault = SAME_AS_DEFAULT

    @property
    def introduced_with(self) -> Scalar:
        """The value that configurations written before the row existed are taken to have."""
        return self.default if isinstance(self.before, _SameAsDefault) else self.before

    def violation(self, value: Any) -> str | None:
        """Why `value` cannot be used, `; ` and the fix; None when it can."""
        if value is None:
            return None if self.optional else "has no value; give one"
        if (isinstance(value, bool) and bool not in self.kinds) or not isinstance(value, self._accepted):
            return f"{value!r} is {_noun(value)}; give {self.kind_words}"
        return self.check.violation(value)

    @property
    def kind_words(self) -> str:
        """Its types in words."""
        return " or ".join(_NOUNS[kind] for kind in self.kinds)

    @property
    def _accepted(self) -> tuple[type, ...]:
        return (*self.kinds, int) if float in self.kinds else self.kinds


def setting(
    default: Any,
    help: str,
    check: Check = ANYTHING,
    *,
    active: Condition = ALWAYS,
    since: str = FIRST,
    before: Scalar | _SameAsDefault = SAME_AS_DEFAULT,
) -> Any:
    """A dataclass field that is a hyperparameter: name, types and listed choices are those of the annotated field."""
    row = {"help": help, "check": check, "active": active, "since": since, "before": before}
    return dataclasses.field(default=default, metadata=row)


def rows_of(settings: type) -> tuple[Hyperparameter, ...]:
    """The rows of a dataclass whose fields are made with `setting`."""
    hints = typing.get_type_hints(settings)
    return tuple(_row(field, hints[field.name]) for field in dataclasses.fields(settings) if field.metadata)


def arguments(rows: Iterable[Hyperparameter], part: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of one part's constructor that a configuration holds; what is absent or None keeps the part's own default."""
    named = {row.name: row.argument.partition(".") for row in rows if row.argument}
    return {
        argument: config[name]
        for name, (owner, _, argument) in named.items()
        if owner == part and config.get(name) is not None
    }


def _row(field: dataclasses.Field[Any], hint: Any) -> Hyperparameter:
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    listed = [part for part in parts if typing.get_origin(part) is typing.Literal]
    values = tuple(value for part in listed for value in typing.get_args(part))
    plain = [part for part in parts if part in _NOUNS]
    kinds = tuple(dict.fromkeys([*plain, *(type(value) for value in values)]))
    facts = dict(field.metadata)
    return Hyperparameter(
        field.name,
        facts["help"],
        kinds,
        field.default,  # type: ignore[arg-type]
        one_of(*values) if values else facts["check"],
        optional=type(None) in parts,
        active=facts["active"],
        since=facts["since"],
        before=facts["before"],
    )


def _noun(value: Any) -> str:
    return _NOUNS.get(type(value), f"a {type(value).__name__}")


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0f}" if float(value).is_integer() else str(value)
