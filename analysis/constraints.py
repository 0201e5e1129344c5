"""What a configuration must meet to be ranked at all: 'robust_accuracy@2/255 >= 0.4', 'backbone == resnet50'."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import metric_names
from analysis.frames import Run
from sweep.core.errors import InputError, suggestion

OPERATORS: dict[str, Callable] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_SHAPE = re.compile(r"^\s*(?P<name>[^<>=!]+?)\s*(?P<op>>=|<=|==|!=|>|<)\s*(?P<value>.+?)\s*$")


@dataclass(frozen=True)
class Constraint:
    """A metric (its mean over seeds) or a setting, compared with a value."""

    name: str
    op: str
    value: float | str
    is_setting: bool

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.value}"

    def satisfies(self, run: Run) -> pd.Series:
        """True per signature; a metric that was not measured does not hold."""
        values = run.configs[self.name].reindex(run.means.index) if self.is_setting else run.means[self.name]
        known = values.notna()
        if isinstance(self.value, str):
            return OPERATORS[self.op](values.astype(str), self.value) & known
        values = pd.to_numeric(values, errors="coerce")
        return OPERATORS[self.op](values, self.value) & values.notna()


def parse_constraint(text: str, run: Run) -> Constraint:
    """Read one constraint against what the run recorded; InputError with the fix."""
    shape = _SHAPE.match(text)
    if not shape:
        raise InputError("--constraint", f"{text!r} is no comparison", "write it like 'robust_accuracy@2/255 >= 0.4'")
    name, op, value = shape["name"], shape["op"], shape["value"]
    if name in run.configs:
        return Constraint(name, op, _setting(text, op, value), is_setting=True)
    try:
        known = metric_names.resolve(name, run.metrics, where="--constraint")
    except InputError as unknown:
        if metric_names.parse(name).family == metric_names.ROBUST:
            raise
        fix = suggestion(name, [*run.metrics, *run.configs])
        raise InputError("--constraint", f"{name!r} is neither a recorded metric nor a setting", fix) from unknown
    return Constraint(known, op, _number(text, value), is_setting=False)


def passing(run: Run, constraints: Sequence[Constraint]) -> pd.Series:
    """True per signature that meets all constraints."""
    meets = pd.Series(True, index=run.means.index)
    for constraint in constraints:
        meets &= constraint.satisfies(run)
    return meets


def _setting(text: str, op: str, value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        if op not in ("==", "!="):
            raise InputError(
                "--constraint", f"{text!r} orders words", "use == or != for a setting that is a word"
            ) from None
        return value.strip("'\"")


def _number(text: str, value: str) -> float:
    try:
        return float(value[:-1]) / 100 if value.endswith("%") else float(value)
    except ValueError:
        raise InputError(
            "--constraint", f"{value!r} in {text!r} is not a number", "write a share such as 0.4"
        ) from None
