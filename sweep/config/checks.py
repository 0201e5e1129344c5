"""Checks of a sweep config beyond its schema: known names, values in range, one place per name, objectives and threats that exist."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sweep.attacks.names import TRANSFER
from sweep.config.distribution import Distribution
from sweep.config.effect_checks import EFFECT_CHECKS
from sweep.config.hyperparameters import HYPERPARAMETERS
from sweep.config.search_checks import SEARCH_CHECKS, Violation
from sweep.config.sweep_config import PLACES, Objective, SweepConfig, Threats
from sweep.config.target_label_checks import TARGET_LABEL_CHECKS
from sweep.core.acquisition_names import ACQUISITION_METRICS, conditions
from sweep.core.errors import InputError, suggestion
from sweep.core.hyperparameter import Hyperparameter
from sweep.core.metric_table import ROBUST_ACCURACY, SPLITS, WORST, metric_name, metric_row
from sweep.search.sampling import bounds


def violations(sweep_config: SweepConfig, incomplete: frozenset[str] = frozenset()) -> list[Violation]:
    """The violations that all checks find, each with its place in the file, the value and the fix.

    `incomplete` are the sections from which invalid values were removed: what may only follow from the removal is not reported.
    """
    return [violation for check in CHECKS for violation in check(sweep_config, incomplete)]


def _names(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    homes: dict[str, str] = {}
    for place in PLACES:
        for name in getattr(sweep_config, place):
            if name not in HYPERPARAMETERS:
                yield (place, name), "unknown name", suggestion(name, HYPERPARAMETERS)
            elif name in homes:
                yield (place, name), f"is given under {homes[name]} too", "keep it in one place"
            homes.setdefault(name, place)


def _ranges(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    for loc, name, value in _values(sweep_config):
        violation = HYPERPARAMETERS[name].violation(value) if name in HYPERPARAMETERS else None
        if violation:
            problem, _, fix = violation.partition("; ")
            yield loc, problem, fix
    for name, distribution in sweep_config.search.items():
        if name in HYPERPARAMETERS:
            yield from _sampled(name, HYPERPARAMETERS[name], distribution)
    for name, values in sweep_config.grid.items():
        if not values:
            yield ("grid", name), "has no values", "list at least one, or move it to fixed"
        yield from (
            _again(("grid", name, index), values[index])
            for index in _repeated((isinstance(value, bool), value) for value in values)
        )


def _values(sweep_config: SweepConfig) -> Iterator[tuple[tuple, str, Any]]:
    for name, value in sweep_config.fixed.items():
        yield ("fixed", name), name, value
    for name, values in sweep_config.grid.items():
        yield from ((("grid", name, index), name, value) for index, value in enumerate(values))
    for name, distribution in sweep_config.search.items():
        yield from (
            (("search", name, "values", index), name, value) for index, value in enumerate(distribution.values or [])
        )


def _sampled(name: str, row: Hyperparameter, distribution: Distribution) -> Iterator[Violation]:
    """A distribution of numbers must lie within the range of its hyperparameter."""
    kind = distribution.distribution
    if kind == "values":
        return
    if not {int, float} & set(row.kinds):
        yield ("search", name), f"{kind} samples numbers, {name} takes none", "list its choices: {values: [...]}"
        return
    if float not in row.kinds and kind != "int_uniform":
        yield (
            ("search", name),
            f"{kind} samples fractions, {name} takes whole numbers",
            "use int_uniform, or list them: {values: [...]}",
        )
        return
    for end, value in zip(("min", "max"), bounds(distribution) or (), strict=False):
        violation = row.violation(int(value) if kind == "int_uniform" else value)
        if violation:
            problem, _, fix = violation.partition("; ")
            drawn = kind == "normal" and getattr(distribution, end) is None
            yield (
                ("search", name, end),
                problem,
                f"{fix}: add {end}, which truncates the distribution" if drawn else fix,
            )


def _objectives(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    known = _metrics()
    attacked = [str(eps) for eps in sweep_config.threats.eps]
    for index, objective in enumerate(sweep_config.objectives):
        place = ("objectives", index)
        row = metric_row(objective.metric)
        twice = sum(other.metric == objective.metric for other in sweep_config.objectives) > 1  # reported by itself
        if row is not None and objective.goal != row.goal and not twice:
            better = "larger" if row.goal == "maximize" else "smaller"
            yield (*place, "goal"), f"{objective.metric} is better when {better}", f"write goal: {row.goal}"
        if objective.metric in ACQUISITION_METRICS:
            yield from () if "threats" in incomplete else _of_acquisition(objective, place, sweep_config.threats)
            continue
        if objective.metric != ROBUST_ACCURACY:
            if objective.metric not in known:
                yield (
                    place,
                    f"metric {objective.metric} is not measured",
                    suggestion(objective.metric, [*known, ROBUST_ACCURACY, *ACQUISITION_METRICS]),
                )
            idle = [key for key in ("threat", "eps") if getattr(objective, key) is not None]
            if idle:
                yield (
                    place,
                    f"{objective.metric} takes no {' and no '.join(idle)}",
                    "remove it, or ask for metric: robust_accuracy",
                )
            continue
        if "threats" in incomplete:
            continue
        if str(objective.eps) not in attacked:
            problem = "has no eps" if objective.eps is None else f"eps {objective.eps} is not attacked"
            yield (
                place,
                problem,
                suggestion(str(objective.eps), attacked) if attacked else "give threats: {attacks: [...], eps: [...]}",
            )
        if objective.threat is not None and objective.threat not in (WORST, *sweep_config.threats.attacks):
            yield (
                place,
                f"threat {objective.threat} is not among the attacks",
                suggestion(objective.threat, [WORST, *sweep_config.threats.attacks]),
            )
        if objective.split not in sweep_config.threats.splits:
            yield place, f"split {objective.split} is not attacked", f"add {objective.split} to threats.splits"
    yield from _same_objectives(sweep_config.objectives)


def _of_acquisition(objective: Objective, place: tuple, threats: Threats) -> Iterator[Violation]:
    """An objective of what acquisition changes leave: the changes, its condition and its split must be evaluated."""
    if not threats.acquisition:
        yield place, f"{objective.metric} has no acquisition change", "give threats: {acquisition: [blur, gain, ...]}"
        return
    if objective.eps is not None:
        yield place, f"{objective.metric} takes no eps", "remove it; a severity is part of threat, as in blur-3"
    offered = conditions(objective.metric, threats.acquisition, threats.severity)
    if objective.threat is not None and objective.threat not in offered:
        yield place, f"threat {objective.threat} is not evaluated", suggestion(objective.threat, offered)
    if objective.split not in threats.splits:
        yield place, f"split {objective.split} is not evaluated", f"add {objective.split} to threats.splits"


def _same_objectives(objectives: Sequence[Objective]) -> Iterator[Violation]:
    names = [
        (one.metric, one.split, one.threat or WORST, str(one.eps)) if one.metric == ROBUST_ACCURACY else one.metric
        for one in objectives
    ]
    for index in _repeated(names):
        goals = {one.goal for one, name in zip(objectives, names, strict=True) if name == names[index]}
        how = "is given twice" if len(goals) == 1 else "is to be maximized and minimized"
        yield ("objectives", index), f"{objectives[index].metric} {how}", "keep one of them"


def _metrics() -> list[str]:
    from sweep.evaluation.domain_gap import GAPS
    from sweep.evaluation.metrics import METRICS
    from sweep.shift.blind_metrics import blind_metric_names

    return [*GAPS, *(metric_name(name, split) for name in METRICS for split in SPLITS), *blind_metric_names()]


def _threats(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    from sweep.attacks.threats import resolve_threat
    from sweep.core.epsilon import parse_epsilon

    readers: Mapping[str, Callable[[Any], Any]] = {
        "attacks": lambda name: name if name.startswith(TRANSFER) else resolve_threat(name) and name,
        "eps": parse_epsilon,
    }
    for key, read in readers.items():
        values, sound = getattr(sweep_config.threats, key), list[Any]()
        for index, value in enumerate(values):  # the model of a transfer attack is checked when the networks are built
            try:
                sound.append(read(value))
            except InputError as error:
                yield ("threats", key, index), error.problem, error.fix
                sound.append(object())  # equals no other
        yield from (_again(("threats", key, index), values[index]) for index in _repeated(sound))
    splits = sweep_config.threats.splits
    yield from (_again(("threats", "splits", index), splits[index]) for index in _repeated(splits))
    if "threats" not in incomplete and bool(sweep_config.threats.attacks) != bool(sweep_config.threats.eps):
        empty = "eps" if sweep_config.threats.attacks else "attacks"
        yield ("threats",), f"{empty} is empty", "give both attacks and eps, or neither"


def _repeated(values: Iterable[Hashable]) -> Iterator[int]:
    """Positions of values that occur earlier in the list."""
    seen: list[Hashable] = []
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.append(value)


def _again(loc: tuple, value: Any) -> Violation:
    return loc, f"{value} is listed twice", "remove one"


CHECKS: tuple[Callable[[SweepConfig, frozenset[str]], Iterator[Violation]], ...] = (
    _names,
    _ranges,
    *SEARCH_CHECKS,
    *EFFECT_CHECKS,
    *TARGET_LABEL_CHECKS,
    _objectives,
    _threats,
)
