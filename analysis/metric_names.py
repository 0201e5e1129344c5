"""Metric names and what they say: family, split, threat, epsilon, direction, range, the words a person reads.

A recorded name is `family/split`, `family/split/class`, `family/split/threat` or `family/split/threat@eps`, after its row in
`sweep.core.metric_table`; a person may leave parts out (`robust_accuracy@2/255`, `auroc`), and the target split and the worst case over
threats are meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sweep.core.epsilon import parse_epsilon, same_epsilon
from sweep.core.errors import InputError, suggestion
from sweep.core.metric_table import PIXEL_UNIT, ROBUST_ACCURACY, ROBUST_AUROC, SPLITS, TARGET, TRAIN, WORST, metric_row

ROBUST = ROBUST_ACCURACY
DEFAULT_SPLIT = TARGET
_PIXEL_LEVELS = 255  # epsilons are read in grey levels of an 8-bit image
_INFINITY = "\N{INFINITY}"

__all__ = ["ROBUST", "ROBUST_AUROC", "SPLITS", "WORST", "MetricName", "parse", "resolve", "title"]


@dataclass(frozen=True)
class MetricName:
    """The parts of a recorded name; None where the name has no such part."""

    family: str
    split: str | None = None
    threat: str | None = None
    eps: str | None = None
    class_name: str | None = None  # or the finding

    def __str__(self) -> str:
        tail = self.threat or self.class_name
        rest = f"/{tail}" if tail else ""
        return self.family + (f"/{self.split}" if self.split else "") + rest + (f"@{self.eps}" if self.eps else "")


def parse(name: str) -> MetricName:
    """Parts of a recorded name, e.g. robust_accuracy/target/pgd20@2/255; of an unknown family at most the split is told apart."""
    row = metric_row(name)
    if row is None:
        family, _, split = name.rpartition("/")
        return MetricName(family, split) if family and split in (*SPLITS, TRAIN) else MetricName(name)
    rest = name.removeprefix(row.name).removeprefix("/")
    body, at, eps = rest.rpartition("@") if row.form == "split/threat@epsilon" else (rest, "", "")
    split, _, tail = (body if at else rest).removeprefix("/").partition("/")
    if row.form in ("alone", "split"):
        return MetricName(row.name, split or None, class_name=tail or None)
    return MetricName(row.name, split or None, tail or None, eps if at else None)


def goal(name: str) -> str:
    """'maximize' or 'minimize', from the metric's row. InputError for a metric without one: a direction is not guessed."""
    row = metric_row(name)
    if row is None:
        fix = "state its goal under objectives, or give it a row in sweep/core/metric_table.py"
        raise InputError(name, "whether more or less of it is better is not known", fix)
    return row.goal


def sign(name: str, goals: Mapping[str, str] | None = None) -> int:
    """+1 where more is better, -1 where less is better; the directions that a sweep states itself come first."""
    stated = (goals or {}).get(name)
    return -1 if (stated or goal(name)) == "minimize" else 1


def limits(name: str) -> tuple[float, float]:
    """The range that a metric can take, from its row; unbounded for a metric without one."""
    row = metric_row(name)
    return (row.low, row.high) if row else (-float("inf"), float("inf"))


def largest_difference(name: str) -> float:
    """How far two values of a metric can lie apart; infinite for one without a range."""
    low, high = limits(name)
    return high - low


def family_title(name: str) -> str:
    """Words for the family, e.g. 'Robust accuracy'."""
    row = metric_row(name)
    return row.title if row else parse(name).family.replace("_", " ")


def title(name: str) -> str:
    """Words for a heading, e.g. 'Robust accuracy, worst case at 2/255 (target)'."""
    parts, words = parse(name), family_title(name)
    if parts.threat:
        words = f"{words}, {_threat(parts)}"
    if parts.class_name:
        words = f"{words}, {parts.class_name}"
    return f"{words} ({SPLITS.get(parts.split, parts.split)})" if parts.split else words


def heading(name: str) -> tuple[str, str]:
    """Two short lines for a column, e.g. ('Worst case at 2/255', 'target')."""
    parts, words = parse(name), family_title(name)
    if parts.threat and parts.family == ROBUST:
        words = _threat(parts).capitalize() if parts.threat == WORST else _threat(parts)
    elif parts.threat:
        words = f"{words}, {_threat(parts)}"
    if parts.class_name:
        words = f"{words}, {parts.class_name}"
    if is_gap(name):
        return words, "source \N{MINUS SIGN} target"
    return words, SPLITS.get(parts.split, parts.split) if parts.split else ""


def _threat(parts: MetricName) -> str:
    threat = "worst case" if parts.threat == WORST else str(parts.threat)
    return f"{threat} at {parts.eps}" if parts.eps else threat


def is_gap(name: str) -> bool:
    """Whether it is one of the domain gaps: a difference of source test and target."""
    return parse(name).family.startswith("domain_gap")


def sees_target(name: str) -> bool:
    """Whether target labels went into it."""
    return parse(name).split == TARGET or is_gap(name)


def short(name: str) -> str:
    """One short line for an axis, e.g. 'Worst case at 2/255, target'."""
    words, split = heading(name)
    return f"{words}, {split}" if split in SPLITS.values() else words


def value_text(name: str, value: float) -> str:
    """A value in the unit of its metric: epsilons as '1.5/255', everything else with three decimals; a dash where undefined."""
    if value != value:
        return "\N{EN DASH}"
    row = metric_row(name)
    if row and row.unit == PIXEL_UNIT:
        return _INFINITY if value == float("inf") else f"{value * _PIXEL_LEVELS:.3g}/{_PIXEL_LEVELS}"
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}").replace("inf", _INFINITY)


def resolve(spec: str, known: Iterable[str], *, where: str = "metric") -> str:
    """The recorded name that `spec` means; InputError with a suggestion when there is none.

    Missing parts are filled in: the target split, the worst case over threats, an epsilon written another way.
    """
    names = list(known)
    spec = spec.strip()
    for whole in (spec, f"{spec}/{DEFAULT_SPLIT}", f"{spec}/{WORST}", f"{spec}/{DEFAULT_SPLIT}/{WORST}"):
        if whole in names:
            return whole
    if parse(spec).family in (ROBUST, ROBUST_AUROC):
        return _resolve_robust(spec, names, where)
    raise InputError(where, f"{spec!r} is not a recorded metric", suggestion(spec, names))


def _resolve_robust(spec: str, names: list[str], where: str) -> str:
    wanted = parse(spec)
    split, threat = wanted.split or DEFAULT_SPLIT, wanted.threat or WORST
    if split not in SPLITS:  # robust_accuracy/pgd@2/255 leaves the split out
        split, threat = DEFAULT_SPLIT, split
    if wanted.eps:
        parse_epsilon(wanted.eps)
    robust = [(name, parse(name)) for name in names if parse(name).family == wanted.family]
    for name, parts in robust:
        if (parts.split, parts.threat) == (split, threat) and wanted.eps and same_epsilon(parts.eps or 0, wanted.eps):
            return name
    tried = sorted(
        {f"{parts.threat}@{parts.eps}" for _, parts in robust if parts.split == split},
        key=lambda text: text.partition("@")[0] != WORST,
    )
    fix = (
        f"recorded on {split}: {', '.join(tried[:12])}"
        if tried
        else "this sweep attacked nothing there; add threats: to its file"
    )
    raise InputError(where, f"{spec!r} was not recorded", fix)
