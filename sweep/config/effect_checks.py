"""Checks for settings that can be read and have no meaning: values that train nothing, conditions that never hold, keys without effect."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from sweep.config.distribution import Distribution
from sweep.config.hyperparameters import HYPERPARAMETERS, default_values, is_active
from sweep.config.search_checks import MOST_CONFIGURATIONS, Violation, rule_problems
from sweep.config.sweep_config import SweepConfig
from sweep.core.epsilon import parse_epsilon
from sweep.core.errors import InputError
from sweep.search.sampling import satisfies

MOST_RECORDS = 1_000_000  # configurations x seeds of a sweep
_KEYS = {
    "values": ("values", "probabilities"),
    "normal": ("mean", "sd", "min", "max"),
    "q_uniform": ("min", "max", "q"),
}


def _unused_keys(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    for name, distribution in sweep_config.search.items():
        kind = distribution.distribution
        used = {"distribution", "when", *_KEYS.get(kind, ("min", "max"))}
        given = {key for key in distribution.model_fields_set if getattr(distribution, key) is not None}
        for key in sorted(given - used):
            fix = f"remove it; {kind} takes {' and '.join(_KEYS.get(kind, ('min', 'max')))}"
            yield ("search", name, key), f"{key} has no effect on distribution {kind}", fix


def _repeated_choices(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    for name, distribution in sweep_config.search.items():
        seen: list[tuple[bool, Any]] = []
        for index, value in enumerate(distribution.values or []):
            if (isinstance(value, bool), value) in seen:
                fix = "remove one; give probabilities for a value that is to be drawn more often"
                yield ("search", name, "values", index), f"{value} is listed twice", fix
            seen.append((isinstance(value, bool), value))


def _conditions_never_met(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    """A rule on a hyperparameter whose values are listed, none of which it accepts."""
    if {"grid", "fixed", "search"} & incomplete:
        return
    for name, distribution in sweep_config.search.items():
        for other, rule in (distribution.when or {}).items():
            if other == name or other not in HYPERPARAMETERS or _is_range(sweep_config.search.get(other)):
                continue
            if any(rule_problems(other, rule)):
                continue  # reported by another check
            values = sweep_config.values_of(other)
            if not any(satisfies(rule, value) for value in values):
                listed = ", ".join(map(str, values))
                fix = f"add the value that you mean to {other}, or remove {name} from search"
                yield ("search", name, "when", other), f"never holds: {other} is only ever {listed} in this sweep", fix


def _never_active(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    """Values to compare of a hyperparameter that has no effect in any configuration: all of them are one recipe."""
    if {"grid", "fixed", "search"} & incomplete:
        return
    for section in ("grid", "search"):
        for name in getattr(sweep_config, section):
            if name in HYPERPARAMETERS and (need := _unmet(name, sweep_config)):
                yield (section, name), f"has no effect in this sweep: {need}", f"remove {name}, or change that"


def without_effect(sweep_config: SweepConfig) -> list[str]:
    """What is no mistake and may surprise: fixed values without effect, which a sweep config keeps for its other uses."""
    found = ((name, value, _unmet(name, sweep_config)) for name, value in sweep_config.fixed.items())
    return [f"fixed.{name} ({value}) has no effect in this sweep: {need}" for name, value, need in found if need]


def _unmet(name: str, sweep_config: SweepConfig) -> str:
    """Why a hyperparameter has no effect in any configuration of the sweep; empty where it has one in some, or where that is not told."""
    chain = [name, *_parents(name)]
    conditions = {link: HYPERPARAMETERS[link].active for link in chain}
    if any(condition.text and not condition.parents for condition in conditions.values()):
        return ""  # decided by a function of the whole configuration
    values = {link: sweep_config.values_of(link) for link in chain}
    if math.prod(map(len, values.values())) > MOST_CONFIGURATIONS:
        return ""
    defaults = default_values()
    configs = [defaults | dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    if any(is_active(name, config) for config in configs):
        return ""
    # The condition that never holds by itself, or, where only their combination does not, the hyperparameter's own.
    link = next((link for link in chain if not any(map(conditions[link], configs))), name)
    listed = "; ".join(
        f"{parent} is {' or '.join(map(_shown, values[parent]))}"
        for parent in dict.fromkeys(conditions[link].parents)
        if parent in values
    )
    return f"it counts where {conditions[link].text.replace('`', '')}, and {listed}"


def _shown(value: Any) -> str:
    return "left out" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _parents(name: str) -> list[str]:
    """The hyperparameters that decide whether this one has an effect, those that decide about them too."""
    found: list[str] = []
    left = [*HYPERPARAMETERS[name].active.parents]
    while left:
        parent = left.pop(0)
        if parent != name and parent not in found:
            found.append(parent)
            left += HYPERPARAMETERS[parent].active.parents
    return found


def _is_range(distribution: Distribution | None) -> bool:
    return distribution is not None and distribution.values is None


def _learning_rate(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    fix = "give a positive number, like 1e-4"
    if sweep_config.fixed.get("lr", 1) == 0:
        yield ("fixed", "lr"), "a learning rate of 0 trains nothing", fix
    listed: dict[tuple, list[Any]] = {("grid", "lr"): sweep_config.grid.get("lr", [])}
    if "lr" in sweep_config.search:
        listed[("search", "lr", "values")] = sweep_config.search["lr"].values or []
    for loc, values in listed.items():
        yield from (
            ((*loc, index), "a learning rate of 0 trains nothing", fix)
            for index, value in enumerate(values)
            if value == 0
        )


def _epsilons(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    for index, eps in enumerate(sweep_config.threats.eps):
        try:
            too_large = parse_epsilon(eps) > 1
        except InputError:
            continue  # reported by another check
        if too_large:
            fix = "images are scaled to 0..1: write grey levels as 2/255, or a number of at most 1"
            yield ("threats", "eps", index), f"{eps} is more than the whole range of an image", fix


def _domains(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    data = sweep_config.data
    if "data" in incomplete or data.hold_out or data.source.rstrip("/") != data.target.rstrip("/"):
        return
    fix = "name another data set as target, or take scanners or hospitals out of it with data.hold_out"
    yield ("data", "target"), f"is the source too ({data.target}): there is no domain shift to measure", fix


def _records(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    cells = math.prod(len(values) for values in sweep_config.grid.values())
    draws = sweep_config.searcher.trials if sweep_config.search else 1
    seeds = max(sweep_config.seeds.min, (sweep_config.seeds.max or 0) if sweep_config.seeds.race else 0)
    count = cells * draws * seeds
    if count > MOST_RECORDS and cells * draws <= MOST_CONFIGURATIONS:  # more are reported by another check
        problem = f"{cells} cells x {draws} trials x {seeds} seeds = {count} records"
        yield ("seeds",), problem, f"a sweep takes at most {MOST_RECORDS}; give fewer seeds, or race them"


EFFECT_CHECKS: tuple[Callable[[SweepConfig, frozenset[str]], Iterator[Violation]], ...] = (
    _unused_keys,
    _repeated_choices,
    _conditions_never_met,
    _never_active,
    _learning_rate,
    _epsilons,
    _domains,
    _records,
)
