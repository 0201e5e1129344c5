"""Checks of the search beyond the schema: conditions that can hold, a number of configurations that can be planned, settings that have an effect."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweep.config.hyperparameters import HYPERPARAMETERS
from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import suggestion
from sweep.core.hyperparameter import Scalar

Violation = tuple[tuple, str, str]  # place in the file, problem, fix
MOST_CONFIGURATIONS = 100_000  # of a sweep: all of them are held in the driver's memory
_OPERATORS = "write a value, a list of values, or {not: ...} around one of them"


def _searched(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    algorithm, there = sweep_config.searcher.algorithm, bool(sweep_config.search) or "search" in incomplete
    if sweep_config.search and algorithm == "grid" and "searcher" not in incomplete:
        yield (
            ("search",),
            "is not sampled under searcher.algorithm grid",
            "set searcher: {algorithm: random, trials: 20}",
        )
    elif algorithm == "grid" and sweep_config.searcher.trials > 1 and not {"search", "searcher"} & incomplete:
        yield (
            ("searcher", "trials"),
            f"{sweep_config.searcher.trials} trials have no effect under algorithm grid, which runs each cell once",
            "add search and an algorithm that draws it, or leave trials out",
        )
    if not there and algorithm != "grid":
        yield (
            ("searcher", "algorithm"),
            f"{algorithm} has nothing to sample: search is empty",
            "add search, or leave searcher out",
        )
    if sweep_config.scheduler.type == "none":
        return
    if not there:
        yield (
            ("scheduler", "type"),
            f"{sweep_config.scheduler.type} compares configurations inside a cell and each cell has one",
            "add search, or set type none",
        )
    longest, grace = _most_epochs(sweep_config), sweep_config.scheduler.grace_epochs
    if longest is not None and grace >= longest and not {"search", "fixed", "grid"} & incomplete:
        yield (
            ("scheduler", "grace_epochs"),
            f"{grace} is not below the {longest} epochs of a training, so nothing is ever stopped",
            "give fewer, or set scheduler type none",
        )


def _most_epochs(sweep_config: SweepConfig) -> int | None:
    """Epochs of the longest training in the sweep; None where they are not numbers."""
    values = sweep_config.values_of("epochs")
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return int(max(numbers)) if numbers else None


def _size(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    lengths = [len(values) for values in sweep_config.grid.values()]
    draws = sweep_config.searcher.trials if sweep_config.search else 1
    count = math.prod(lengths) * draws
    if count > MOST_CONFIGURATIONS:
        product = " x ".join(map(str, lengths)) or "1"
        times = f", {draws} trials in each: {count} configurations" if draws > 1 else ""
        place = ("searcher", "trials") if math.prod(lengths) <= MOST_CONFIGURATIONS else ("grid",)
        yield (
            place,
            f"{product} = {math.prod(lengths)} cells{times}",
            f"a sweep takes at most {MOST_CONFIGURATIONS}; cross fewer values, or move some to search",
        )


def _training_images(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    fold = sweep_config.data.train_images
    if fold is None:
        return
    if "train_images" in sweep_config.fixed:
        yield ("fixed", "train_images"), "is given under data too", "keep it in one place"
    listed: dict[tuple[str, ...], list[Scalar]] = {("grid", "train_images"): sweep_config.grid.get("train_images", [])}
    if "train_images" in sweep_config.search:
        listed[("search", "train_images", "values")] = sweep_config.search["train_images"].values or []
    for loc, values in listed.items():
        for index, value in enumerate(values):
            if isinstance(value, int) and value > fold:
                yield (
                    (*loc, index),
                    f"{value} of the {fold} training images that data.train_images allows",
                    "ask for fewer, or raise data.train_images",
                )


def _conditions(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    for name, distribution in sweep_config.search.items():
        for other, rule in (distribution.when or {}).items():
            loc = ("search", name, "when", other)
            if other not in HYPERPARAMETERS:
                yield loc, "unknown name", suggestion(other, HYPERPARAMETERS)
            elif other == name:
                yield loc, f"{name} depends on itself", "name another hyperparameter"
            else:
                yield from ((loc, problem, fix) for problem, fix in rule_problems(other, rule))
    ring = _ring(
        {
            name: set(distribution.when or {}) & set(sweep_config.search) - {name}
            for name, distribution in sweep_config.search.items()
        }
    )
    if ring:
        yield (
            ("search", ring[0], "when"),
            f"conditions form a cycle: {' on '.join([*ring, ring[0]])}",
            "remove one of them",
        )


def rule_problems(name: str, rule: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with the rule on one hyperparameter."""
    if isinstance(rule, Mapping):
        if list(rule) != ["not"]:
            wrong = [key for key in rule if key != "not"]
            yield (f"unknown operator {wrong[0]}" if wrong else "has no operator"), _OPERATORS
        elif isinstance(rule["not"], Mapping):
            yield "not is nested in not", _OPERATORS
        else:
            yield from rule_problems(name, rule["not"])
        return
    values = rule if isinstance(rule, list) else [rule]
    if not values:
        yield "lists no value", _OPERATORS
    for value in values:
        violation = (
            HYPERPARAMETERS[name].violation(value)
            if not isinstance(value, (list, Mapping))
            else f"{value!r} is no value; {_OPERATORS}"
        )
        if violation:
            problem, _, fix = violation.partition("; ")
            yield f"never holds: {problem}", fix


def _ring(parents: Mapping[str, set[str]]) -> list[str]:
    """Names that depend on each other in a cycle, in order; empty without one."""
    left = {name: set(others) for name, others in parents.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    path = [next(iter(left))]
    while (step := min(left[path[-1]] & left.keys())) not in path:
        path.append(step)
    return path[path.index(step) :]


SEARCH_CHECKS: tuple[Callable[[SweepConfig, frozenset[str]], Iterator[Violation]], ...] = (
    _searched,
    _size,
    _training_images,
    _conditions,
)
