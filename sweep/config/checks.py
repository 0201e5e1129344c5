"""What a schema cannot say about a question: known names, values in range, one place per name, objectives and threats that exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sweep.attacks.names import TRANSFER
from sweep.core.errors import InputError, suggestion
from sweep.config.distribution import Distribution
from sweep.config.hyperparameters import HYPERPARAMETERS, Hyperparameter
from sweep.config.sweep_config import PLACES, Objective, Question
from sweep.config.search_checks import SEARCH_CHECKS, Complaint
from sweep.search.sampling import support

_SPLITS = ("source_val", "source", "target")


def complaints(question: Question, spoilt: frozenset[str] = frozenset()) -> list[Complaint]:
    """Every mistake that all checks find, each with its place in the file, the value and the cure.

    Of sections that the schema has left something out of, nothing is said that may follow from that.
    """
    return [complaint for check in CHECKS for complaint in check(question, spoilt)]


def _names(question: Question, spoilt: frozenset[str]) -> Iterator[Complaint]:
    homes: dict[str, str] = {}
    for place in PLACES:
        for name in getattr(question, place):
            if name not in HYPERPARAMETERS:
                yield (place, name), "unknown name", suggestion(name, HYPERPARAMETERS)
            elif name in homes:
                yield (place, name), f"stands under {homes[name]} too", "keep it in one place"
            homes.setdefault(name, place)


def _ranges(question: Question, spoilt: frozenset[str]) -> Iterator[Complaint]:
    for loc, name, value in _values(question):
        complaint = HYPERPARAMETERS[name].complaint(value) if name in HYPERPARAMETERS else None
        if complaint:
            problem, _, cure = complaint.partition("; ")
            yield loc, problem, cure
    for name, distribution in question.search.items():
        if name in HYPERPARAMETERS:
            yield from _draws(name, HYPERPARAMETERS[name], distribution)
    for name, values in question.grid.items():
        if not values:
            yield ("grid", name), "has no values", "list at least one, or move it to fixed"
        yield from (_again(("grid", name, index), values[index]) for index in _repeated((isinstance(value, bool), value) for value in values))


def _values(question: Question) -> Iterator[tuple[tuple, str, Any]]:
    for name, value in question.fixed.items():
        yield ("fixed", name), name, value
    for name, values in question.grid.items():
        yield from ((("grid", name, index), name, value) for index, value in enumerate(values))
    for name, distribution in question.search.items():
        yield from ((("search", name, "values", index), name, value) for index, value in enumerate(distribution.values or []))


def _draws(name: str, row: Hyperparameter, distribution: Distribution) -> Iterator[Complaint]:
    """What a distribution of numbers draws must be what the hyperparameter takes, to its ends."""
    kind = distribution.distribution
    if kind == "values":
        return
    if not {int, float} & set(row.kinds):
        yield ("search", name), f"{kind} draws numbers, {name} takes none", "list its choices: {values: [...]}"
        return
    if float not in row.kinds and kind != "int_uniform":
        yield ("search", name), f"{kind} draws fractions, {name} takes whole numbers", "use int_uniform, or list them: {values: [...]}"
        return
    for end, value in zip(("min", "max"), support(distribution), strict=True):
        complaint = row.complaint(int(value) if kind == "int_uniform" else value)
        if complaint:
            problem, _, cure = complaint.partition("; ")
            drawn = kind == "normal" and getattr(distribution, end) is None
            yield ("search", name, end), problem, f"{cure}: add {end}, where the draws are cut off" if drawn else cure


def _objectives(question: Question, spoilt: frozenset[str]) -> Iterator[Complaint]:
    known = _metrics()
    attacked = [str(eps) for eps in question.threats.eps]
    for index, objective in enumerate(question.objectives):
        place = ("objectives", index)
        if objective.metric != "robust_accuracy":
            if objective.metric not in known:
                yield place, f"metric {objective.metric} is not measured", suggestion(objective.metric, [*known, "robust_accuracy"])
            idle = [key for key in ("threat", "eps") if getattr(objective, key) is not None]
            if idle:
                yield place, f"{objective.metric} takes no {' and no '.join(idle)}", "remove it, or ask for metric: robust_accuracy"
            continue
        if "threats" in spoilt:
            continue
        if str(objective.eps) not in attacked:
            problem = "has no eps" if objective.eps is None else f"eps {objective.eps} is not attacked"
            yield place, problem, suggestion(str(objective.eps), attacked) if attacked else "give threats: {attacks: [...], eps: [...]}"
        if objective.threat not in (None, "worst", *question.threats.attacks):
            yield place, f"threat {objective.threat} is not among the attacks", suggestion(objective.threat, ["worst", *question.threats.attacks])
        if objective.split not in question.threats.splits:
            yield place, f"split {objective.split} is not attacked", f"add {objective.split} to threats.splits"
    yield from _same_objectives(question.objectives)


def _same_objectives(objectives: Sequence[Objective]) -> Iterator[Complaint]:
    names = [(one.metric, one.split, one.threat or "worst", str(one.eps)) if one.metric == "robust_accuracy" else one.metric for one in objectives]
    for index in _repeated(names):
        goals = {one.goal for one, name in zip(objectives, names, strict=True) if name == names[index]}
        how = "stands twice" if len(goals) == 1 else "is to be maximized and minimized"
        yield ("objectives", index), f"{objectives[index].metric} {how}", "keep one of them"


def _metrics() -> list[str]:
    from sweep.evaluation.domain_gap import GAPS
    from sweep.evaluation.metrics import METRICS

    return [*GAPS, *(f"{name}/{split}" for name in METRICS for split in _SPLITS)]


def _threats(question: Question, spoilt: frozenset[str]) -> Iterator[Complaint]:
    from sweep.attacks.epsilon import parse_epsilon
    from sweep.attacks.threats import resolve_threat

    readers: Mapping[str, Callable[[Any], Any]] = {"attacks": lambda name: name if name.startswith(TRANSFER) else resolve_threat(name) and name, "eps": parse_epsilon}
    for key, read in readers.items():
        values, sound = getattr(question.threats, key), []
        for index, value in enumerate(values):  # a transfer's model is looked up when the models are built
            try:
                sound.append(read(value))
            except InputError as error:
                yield ("threats", key, index), error.problem, error.cure
                sound.append(math.nan)  # equals nothing
        yield from (_again(("threats", key, index), values[index]) for index in _repeated(sound))
    splits = question.threats.splits
    yield from (_again(("threats", "splits", index), splits[index]) for index in _repeated(splits))
    if "threats" not in spoilt and bool(question.threats.attacks) != bool(question.threats.eps):
        empty = "eps" if question.threats.attacks else "attacks"
        yield ("threats",), f"{empty} is empty", "give both attacks and eps, or neither"


def _repeated(values: Iterable[Hashable]) -> Iterator[int]:
    """Places of the values that stood before."""
    seen: list[Hashable] = []
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.append(value)


def _again(loc: tuple, value: Any) -> Complaint:
    return loc, f"{value} stands there twice", "remove one"


CHECKS: tuple[Callable[[Question, frozenset[str]], Iterator[Complaint]], ...] = (_names, _ranges, *SEARCH_CHECKS, _objectives, _threats)
