"""Records -> an order of configurations: by one metric, a rule, a Pareto front, weights, or one objective before the next.

Configurations of another direction or training size are judged under another condition: each condition has an order of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import metric_names, selection
from analysis.conditions import grouped
from analysis.constraints import parse_constraint, passing
from analysis.estimates import Estimates
from analysis.frames import Run
from analysis.intervals import Interval
from sweep.core.errors import InputError
from sweep.core.metric_table import PREDICTED
from sweep.core.pareto import nondominated_rank

PARETO = "pareto"
TOLERANCE = 0.01  # lexicographic: differences below one point are ties
USUAL_OBJECTIVES = ("auroc/target", "domain_gap", "robust_accuracy@2/255")


@dataclass(frozen=True)
class Ranked:
    """One configuration's place, the score that gave it, and the numbers shown with their intervals."""

    rank: int
    signature: str
    label: str
    front: int
    score: float
    config: dict
    numbers: dict[str, Interval]
    mark: str = ""  # why it rests on less than the others, where it does
    condition: str = ""  # what it was trained under, where the run has several conditions; ranks count within one


@dataclass(frozen=True)
class Ranking:
    """The order, what it is by, and whether that looks at the target."""

    by: str
    describe: str
    oracle: bool
    metrics: tuple[str, ...]
    constants: dict[str, float]  # what a constant predictor scores, for the metrics where that misleads
    rows: tuple[Ranked, ...]
    ranked: int
    excluded: int
    stopped: int = 0  # configurations given up before any seed finished: not ranked
    signatures: tuple[str, ...] = ()  # of all configurations, the excluded ones too: short ids are unique among them
    finished: int = 0  # records
    planned: int | None = None  # records, where more than `finished` are still to come
    undefined: tuple[str, ...] = ()  # recorded metrics that no record defines

    @property
    def predicted(self) -> bool:
        """Whether a number shown is a prediction for an unlabelled target."""
        return any(metric.startswith(PREDICTED) for metric in self.metrics)


def objectives(run: Run) -> tuple[str, ...]:
    """The sweep's objectives, or the usual ones where it states none, as recorded names; without those that no record defines."""
    if run.objectives:
        return tuple(one.metric for one in run.objectives if one.metric not in run.undefined)
    found = []
    for spec in USUAL_OBJECTIVES:
        try:
            found.append(metric_names.resolve(spec, run.metrics))
        except InputError:
            continue
    return tuple(metric for metric in found if metric not in run.undefined)


def goodness(run: Run, metrics: Sequence[str]) -> np.ndarray:
    """Mean metrics with the sign turned so that more is better [signatures, metrics]."""
    signs = [metric_names.sign(metric, run.goals) for metric in metrics]
    return run.means[list(metrics)].to_numpy() * signs


def rank(
    run: Run,
    by: str = selection.DEFAULT_RULE,
    constraints: Sequence[str] = (),
    top: int | None = None,
    *,
    estimates: Estimates | None = None,
) -> Ranking:
    """Order the configurations that meet `constraints`, each condition by itself; intervals are computed for the first `top` of each.

    `by` is a rule (source_val, oracle_target, robust_val), a metric, 'pareto', weights ('auroc=2,domain_gap=1') or an order
    of objectives ('auroc > domain_gap', ties within one point). Equal scores rank in the order of their signatures. InputError when
    `by` is none of these.
    """
    if top is not None and top < 1:
        raise InputError("--top", f"{top} leaves nothing to show", "give 1 or more")
    parsed = [parse_constraint(text, run) for text in constraints]
    keep = passing(run, parsed)
    score, describe, oracle = scores(run, by)
    estimates, names = estimates or Estimates(run), run.labels
    shown = tuple(dict.fromkeys((*ranked_by(run, by), *shown_metrics(run))))
    rows: list[Ranked] = []
    for condition, members in grouped(run).items():
        fronts = _fronts(run, members)
        own = score[members] - 2.0 * fronts if by == PARETO else score[members]  # a front before any of the next
        order = selection.best_first(own[keep[members]])
        rows += [
            Ranked(
                place,
                key,
                names[key],
                int(fronts[key]),
                float(own[key]),
                _config(run, key),
                {metric: estimates.of(key, metric) for metric in shown},
                run.marks.get(key, ""),
                condition.text,
            )
            for place, key in enumerate(order[:top], start=1)
        ]
    return Ranking(
        by,
        describe,
        oracle,
        shown,
        constants(run, shown),
        tuple(rows),
        int(keep.sum()),
        int((~keep).sum()),
        len(unranked(run)),
        tuple(run.means.index),
        len(run.records),
        run.planned_records if run.unfinished else None,
        run.undefined,
    )


def _fronts(run: Run, members: Sequence[str]) -> pd.Series:
    """The front of each of these configurations among themselves; all are on the first where there is no objective."""
    metrics = objectives(run)
    if not metrics:
        return pd.Series(1, index=members)
    values = goodness(run, metrics)[run.means.index.get_indexer(pd.Index(members))]
    return pd.Series(nondominated_rank(values), index=members)


def ranked_by(run: Run, by: str) -> tuple[str, ...]:
    """The metrics that an order is made of."""
    if by in selection.RULES:
        return selection.RULES[by].metrics(run.means)
    if by == PARETO:
        return objectives(run)
    if "=" in by:
        return tuple(_weights(run, by))
    return tuple(_named(run, part) for part in by.split(">"))


def unranked(run: Run) -> list[dict]:
    """The last stop event of every configuration that was given up before any seed finished."""
    return list(
        {event["signature"]: event for event in run.stops if event["signature"] not in run.means.index}.values()
    )


def scores(run: Run, by: str) -> tuple[pd.Series, str, bool]:
    """Score per signature (more is better), what it means, and whether it looks at the target."""
    if by in selection.RULES:
        rule = selection.RULES[by]
        return rule.score(run.means), rule.describe, rule.oracle
    if by == PARETO:
        metrics = objectives(run)
        return (
            _weighted(run, dict.fromkeys(metrics, 1.0)),
            f"Pareto fronts of {', '.join(map(metric_names.title, metrics))}",
            _looks(metrics),
        )
    if "=" in by:
        weights = _weights(run, by)
        words = ", ".join(f"{value:g} x {metric_names.title(name)}" for name, value in weights.items())
        return _weighted(run, weights), f"weighted: {words}", _looks(list(weights))
    named = [_named(run, part) for part in by.split(">")]
    words = " before ".join(metric_names.title(metric) for metric in named)
    return _in_order(run, named), words, _looks(named)


def shown_metrics(run: Run) -> tuple[str, ...]:
    """The numbers a ranking shows: source validation, target, gap, robustness, then raw accuracy with its constant."""
    wanted = ("auroc/source_val", "auroc/target", *objectives(run), "balanced_accuracy/target", "accuracy/target")
    return tuple(dict.fromkeys(name for name in wanted if name in run.metrics and name not in run.undefined))


def constants(run: Run, metrics: Sequence[str]) -> dict[str, float]:
    """Scores of the predictor that always names the larger class: one half for AUROC, one in K classes for balanced accuracy."""
    found = {}
    for metric in metrics:
        parts = metric_names.parse(metric)
        name = f"constant_accuracy/{parts.split}"
        # Robust accuracy of several findings asks for all of them at once, which no accuracy of one answer can be held against.
        if parts.family in (("accuracy",) if run.findings else ("accuracy", metric_names.ROBUST)) and name in run.means:
            found[metric] = float(run.means[name].mean())
        elif parts.family == "auroc":
            found[metric] = 0.5
        elif parts.family == "balanced_accuracy":
            found[metric] = 0.5 if run.findings or len(run.classes) < 2 else 1 / len(run.classes)
    return found


def _named(run: Run, spec: str) -> str:
    try:
        metric = metric_names.resolve(spec, run.metrics, where="--by")
    except InputError as unknown:
        fix = f"{unknown.fix}; or a rule: {', '.join(selection.RULES)}; or pareto"
        raise InputError("--by", unknown.problem, fix) from unknown
    if metric in run.undefined:
        fix = "rank by a metric that its images define, such as accuracy: they may be of one class only"
        raise InputError("--by", f"{metric} is undefined in every record", fix)
    return metric


def _weights(run: Run, text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            weights[_named(run, name)] = float(value)
        except ValueError:
            raise InputError(
                "--by", f"{part.strip()!r} has no number for a weight", "write auroc=2,domain_gap=1"
            ) from None
    if min(weights.values()) < 0 or not sum(weights.values()):
        raise InputError(
            "--by",
            "weights must not be negative nor all zero",
            "the direction of each metric is known; give its importance",
        )
    return weights


def _weighted(run: Run, weights: dict[str, float]) -> pd.Series:
    # Each metric is spread over [0, 1] between the worst and the best configuration, so that units do not weigh.
    values = goodness(run, list(weights))
    finite = np.where(np.isfinite(values), values, np.nan)
    low, high = np.nanmin(finite, axis=0), np.nanmax(finite, axis=0)
    values = np.clip(values, low, high)  # an infinite epsilon counts as the largest that was seen
    spread = np.where(high > low, high - low, 1.0)
    share = np.array(list(weights.values())) / sum(weights.values())
    return pd.Series(((values - low) / spread) @ share, index=run.means.index)


def _in_order(run: Run, metrics: Sequence[str]) -> pd.Series:
    values = goodness(run, metrics)
    steps = np.floor((np.nanmax(values, axis=0) - values[:, : -1 or None]) / TOLERANCE + 1e-9)
    keys = [-values[:, -1], *steps[:, :-1].T[::-1]]  # the last objective decides exactly, those before it by steps
    order = np.lexsort([np.argsort(np.argsort(run.means.index)), *keys])  # equal in all: by signature, as everywhere
    place = np.empty(len(order))
    place[order] = np.arange(len(order), 0, -1)
    return pd.Series(np.where(np.isnan(values).any(axis=1), np.nan, place), index=run.means.index)


def _looks(metrics: Sequence[str]) -> bool:
    return any(metric_names.sees_target(metric) for metric in metrics)


def _config(run: Run, signature: str) -> dict:
    return run.configs.loc[signature].dropna().to_dict()
