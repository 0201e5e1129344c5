"""What a schema cannot say about a question: known names, values in range, one place per name, objectives and threats that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.question import PLACES, Question
from sweep.trial import TRANSFER

Complaint = tuple[tuple, str, str]  # place in the file, problem, cure
_SPLITS = ("source_val", "source", "target")


def complaints(question: Question) -> list[Complaint]:
    """Every mistake that all checks find, each with its place in the file, the value and the cure."""
    return [complaint for check in CHECKS for complaint in check(question)]


def _names(question: Question) -> Iterator[Complaint]:
    from sweep.hyperparameters import HYPERPARAMETERS

    homes: dict[str, str] = {}
    for place in PLACES:
        for name in getattr(question, place):
            if name not in HYPERPARAMETERS:
                yield (place, name), "unknown name", suggestion(name, HYPERPARAMETERS)
            elif name in homes:
                yield (place, name), f"stands under {homes[name]} too", "keep it in one place"
            homes.setdefault(name, place)
    for name, distribution in question.search.items():
        for other in distribution.when or {}:
            if other not in HYPERPARAMETERS:
                yield ("search", name, "when", other), "unknown name", suggestion(other, HYPERPARAMETERS)


def _ranges(question: Question) -> Iterator[Complaint]:
    from sweep.hyperparameters import HYPERPARAMETERS

    for loc, name, value in _values(question):
        complaint = HYPERPARAMETERS[name].complaint(value) if name in HYPERPARAMETERS else None
        if complaint:
            problem, _, cure = complaint.partition("; ")
            yield loc, problem, cure
    for name, values in question.grid.items():
        if not values:
            yield ("grid", name), "has no values", "list at least one, or move it to fixed"


def _values(question: Question) -> Iterator[tuple[tuple, str, Any]]:
    for name, value in question.fixed.items():
        yield ("fixed", name), name, value
    for name, values in question.grid.items():
        yield from ((("grid", name, index), name, value) for index, value in enumerate(values))
    for name, distribution in question.search.items():
        yield from ((("search", name, "values", index), name, value) for index, value in enumerate(distribution.values or []))
        yield from ((("search", name, end), name, value) for end in ("min", "max") if (value := _end(distribution, end)) is not None)


def _end(distribution: Any, end: str) -> float | int | None:
    """A bound as its hyperparameter would take it: whole numbers stay whole."""
    value = getattr(distribution, end)
    return int(value) if distribution.distribution == "int_uniform" and value is not None and float(value).is_integer() else value


def _search(question: Question) -> Iterator[Complaint]:
    if question.search and question.searcher.algorithm == "grid":
        yield ("search",), "nothing draws it under searcher.algorithm grid", "set searcher: {algorithm: random, trials: 20}"
    if not question.search and question.searcher.algorithm != "grid":
        yield ("searcher", "algorithm"), f"{question.searcher.algorithm} has nothing to draw: search is empty", "add search, or leave searcher out"
    if question.scheduler.type != "none" and not question.search:
        yield ("scheduler", "type"), f"{question.scheduler.type} compares configurations inside a cell and each cell has one", "add search, or set type none"


def _objectives(question: Question) -> Iterator[Complaint]:
    known = _metrics()
    attacked = {str(eps) for eps in question.threats.eps}
    for index, objective in enumerate(question.objectives):
        place = ("objectives", index)
        if objective.metric != "robust_accuracy":
            if objective.metric not in known:
                yield place, f"metric {objective.metric} is not measured", suggestion(objective.metric, [*known, "robust_accuracy"])
            continue
        if str(objective.eps) not in attacked:
            yield place, f"eps {objective.eps} is not attacked", suggestion(str(objective.eps), attacked)
        if objective.threat not in (None, "worst", *question.threats.attacks):
            yield place, f"threat {objective.threat} is not among the attacks", suggestion(objective.threat, ["worst", *question.threats.attacks])
        if objective.split not in question.threats.splits:
            yield place, f"split {objective.split} is not attacked", f"add {objective.split} to threats.splits"


def _metrics() -> list[str]:
    from sweep.evaluation.domain_gap import GAPS
    from sweep.evaluation.metrics import METRICS

    return [*GAPS, *(f"{name}/{split}" for name in METRICS for split in _SPLITS)]


def _threats(question: Question) -> Iterator[Complaint]:
    from sweep.attacks.epsilon import parse_epsilon
    from sweep.attacks.threats import resolve_threat

    readers: Mapping[str, Callable[[Any], Any]] = {"attacks": resolve_threat, "eps": parse_epsilon}
    for key, read in readers.items():
        for index, value in enumerate(getattr(question.threats, key)):
            if key == "attacks" and value.startswith(TRANSFER):  # looked up when the models are built
                continue
            try:
                read(value)
            except InputError as error:
                yield ("threats", key, index), error.problem, error.cure
    if bool(question.threats.attacks) != bool(question.threats.eps):
        empty = "eps" if question.threats.attacks else "attacks"
        yield ("threats",), f"{empty} is empty", "give both attacks and eps, or neither"


CHECKS: tuple[Callable[[Question], Iterator[Complaint]], ...] = (_names, _ranges, _search, _objectives, _threats)
