"""run -> everything the page says, as facts; no drawing is decided here and no number is computed in the template."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis import metric_names, selection
from analysis.conditions import grouped
from analysis.derived import labels
from analysis.drift import draw_drift, drifts
from analysis.estimates import Estimates
from analysis.figures.acquisition import acquisition_facts, draw_acquisition
from analysis.figures.by_class import by_class_facts, draw_by_class
from analysis.figures.calibration import calibration_facts, draw_calibration
from analysis.figures.compute import compute_rows, draw_compute
from analysis.figures.epsilon import draw_epsilon_curves, epsilon_facts
from analysis.figures.figure import DataTable, Figure, number
from analysis.figures.gallery import Gallery, galleries
from analysis.figures.glcm import draw_glcm, glcm_facts
from analysis.figures.importance import draw_importances, importances
from analysis.figures.learning import draw_learning_curves, learning_curves
from analysis.figures.parallel import draw_parallel, parallel_facts
from analysis.figures.pareto import ParetoFacts, draw_pareto, pareto_facts
from analysis.figures.pseudo_hospitals import draw_pseudo_hospitals, pseudo_hospital_facts
from analysis.figures.ratio import draw_ratio_curves, ratio_curves
from analysis.figures.synthetic import draw_pools, pool_qualities
from analysis.figures.unsealed import draw_unsealed
from analysis.frames import Run, settings_frame
from analysis.leaderboard import Leaderboard, leaderboard
from analysis.methods_text import Methods, methods
from analysis.predicted import predicted_target
from analysis.ranking import Ranking, objectives, rank, shown_metrics, unranked
from analysis.subgroups import draw_subgroups, subgroups
from analysis.unsealed import kept
from analysis.verdict_facts import verdict
from analysis.verdict_tiles import Verdict
from analysis.verdict_unlabelled_facts import table_note
from analysis.warnings import ResultWarning, warnings
from analysis.winner import Winner, winner

ROWS = 40  # configurations in the leaderboard
STOPS = 200  # configurations listed as stopped early


@dataclass(frozen=True)
class DataSide:
    """One domain of the data card."""

    role: str
    name: str
    facts: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    counts: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Page:
    """All facts of the report."""

    name: str
    subtitle: str
    rule: str
    verdict: Verdict
    winner: Winner | None
    methods: Methods
    warnings: tuple[ResultWarning, ...]
    leaderboard: Leaderboard
    predicted_note: str
    figures: tuple[Figure, ...]
    galleries: tuple[Gallery, ...]
    data: tuple[DataSide, ...]
    audit: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    scatter: str
    stopped: DataTable
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """What the figures are made from."""

    run: Run
    estimates: Estimates
    ranking: Ranking
    labels: dict[str, str]
    scatter: ParetoFacts | None
    leading: (
        Run  # the configurations of the first condition: what is ranked, compared and explained is within one condition
    )


def build_page(run: Run, rule: str = selection.DEFAULT_RULE, *, draws: int = 2000) -> Page:
    """Compute every fact of the report; deterministic for equal records."""
    estimates = Estimates(run, draws=draws)
    ranking = rank(run, rule, top=ROWS, estimates=estimates)
    names = run.labels
    groups = list(grouped(run).values())
    leading = run.within(groups[0]) if len(groups) > 1 else run
    scatter = pareto_facts(leading, estimates, objectives(leading), shown_metrics(leading), names)
    context = Context(run, estimates, ranking, names, scatter, leading)
    curves = ratio_curves(run, estimates, rule)
    best = winner(run, ranking, estimates)
    figures = [draw_ratio_curves(curves)] if curves else []
    figures += [figure for make in FIGURES if (figure := make(context)) is not None]
    return Page(
        name=run.name,
        subtitle=_subtitle(run),
        rule=rule,
        verdict=verdict(run, ranking, estimates, curves),
        winner=best,
        methods=methods(run, rule),
        warnings=warnings(run),
        leaderboard=leaderboard(run, ranking, best),
        predicted_note=table_note(run, ranking),
        figures=tuple(figures),
        galleries=galleries(run, [row.signature for row in ranking.rows[:3]]),
        data=data_sides(run),
        audit=_flat(run.data_card.get("audit", {})),
        environment=_flat(run.environment),
        scatter=_scatter_json(scatter, run),
        stopped=_stopped(run),
        conditions=tuple(dict.fromkeys(row.condition for row in ranking.rows if row.condition)),
    )


def _stopped(run: Run) -> DataTable:
    events = unranked(run)
    configs = pd.concat([run.configs, settings_frame(events)])
    names = (
        labels(configs, {**run.studies, **{event["signature"]: event.get("study", {}) for event in events}})
        if events
        else {}
    )
    quality = "auroc/source_val"
    rows = tuple(
        (
            names[event["signature"]],
            str(event["epoch"]),
            number(event.get("metrics", {}).get(quality)),
            event["by"],
            event["reason"],
        )
        for event in events[:STOPS]
    )
    return DataTable(("configuration", "epoch", f"{metric_names.title(quality)} then", "by", "why"), rows)


def _epsilon(context: Context) -> Figure | None:
    facts = epsilon_facts(
        context.run, context.estimates, [row.signature for row in context.ranking.rows], context.labels
    )
    return draw_epsilon_curves(facts) if facts else None


def _acquisition(context: Context) -> Figure | None:
    facts = acquisition_facts(
        context.run, context.estimates, [row.signature for row in context.ranking.rows], context.labels
    )
    return draw_acquisition(facts) if facts else None


def _synthetic(context: Context) -> Figure | None:
    pools = pool_qualities(context.run)
    return draw_pools(pools) if pools else None


def _compute(context: Context) -> Figure | None:
    rows = compute_rows(context.run)
    return draw_compute(rows) if rows else None


def _pareto(context: Context) -> Figure | None:
    return draw_pareto(context.scatter) if context.scatter else None


def _parallel(context: Context) -> Figure | None:
    facts = parallel_facts(context.leading, objectives(context.leading) or context.ranking.metrics[:1], context.labels)
    return draw_parallel(facts) if facts else None


def _importance(context: Context) -> Figure | None:
    found = {metric: importances(context.leading, metric) for metric in objectives(context.leading)[:3]}
    found = {metric: rows for metric, rows in found.items() if rows}
    return draw_importances(found) if found else None


def _glcm(context: Context) -> Figure | None:
    robust = [metric for metric in objectives(context.run) if metric_names.parse(metric).family == metric_names.ROBUST][
        :1
    ]
    facts = glcm_facts(context.leading, ("auroc/target", *robust))
    return draw_glcm(facts) if facts else None


def _learning(context: Context) -> Figure | None:
    curves = learning_curves(context.run, [row.signature for row in context.ranking.rows], context.labels)
    return draw_learning_curves(curves) if curves else None


def _subgroups(context: Context) -> Figure | None:
    best = context.ranking.rows[0]
    found = subgroups(context.estimates, best.signature)
    return draw_subgroups(found, best.label) if found else None


def _drift(context: Context) -> Figure | None:
    found = drifts(context.run.properties())
    return draw_drift(found) if found else None


def _by_class(context: Context) -> Figure | None:
    best = context.ranking.rows[0]
    facts = by_class_facts(context.run, context.estimates, best.signature, best.label)
    return draw_by_class(facts) if facts else None


def _calibration(context: Context) -> Figure | None:
    best = context.ranking.rows[0]
    domains = calibration_facts(context.estimates, best.signature, context.run.classes)
    return draw_calibration(best.label, domains) if domains else None


def _unsealed(context: Context) -> Figure | None:
    found = kept(context.run)
    made = predicted_target(context.run)
    return draw_unsealed(found, made.records if made else 0) if found else None


def _pseudo_hospitals(context: Context) -> Figure | None:
    made = predicted_target(context.run)
    facts = pseudo_hospital_facts(made, context.ranking.rows[0].signature) if made else None
    return draw_pseudo_hospitals(facts) if facts else None


FIGURES: tuple[Callable[[Context], Figure | None], ...] = (
    _pseudo_hospitals,
    _by_class,
    _epsilon,
    _acquisition,
    _pareto,
    _parallel,
    _importance,
    _glcm,
    _calibration,
    _learning,
    _subgroups,
    _drift,
    _synthetic,
    _compute,
    _unsealed,
)


def _subtitle(run: Run) -> str:
    sides = [run.data_card.get(role, {}).get("name") for role in ("source", "target")]
    seeds = run.records.groupby(level="signature").size()
    count = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    noun = "seed" if count == "1" else "seeds"
    arrow = (
        "\N{LEFT RIGHT ARROW}"
        if "folds_target_to_source" in run.data_card.get("source", {})
        else "\N{RIGHTWARDS ARROW}"
    )
    way = f"{sides[0]} {arrow} {sides[1]} · " if all(sides) else ""
    return f"{way}{len(seeds)} configurations · {count} {noun} each"


def data_sides(run: Run) -> tuple[DataSide, ...]:
    """The data cards of source and target as the page shows them."""
    return tuple(_side(role, run.data_card[role]) for role in ("source", "target") if role in run.data_card)


def _side(role: str, card: dict) -> DataSide:
    folds = card.get("folds") or card.get("counts") or {}
    nested = {fold: row for fold, row in folds.items() if isinstance(row, dict)}
    classes = class_names(card) or next((tuple(row) for row in nested.values()), ())
    counts = tuple((fold, tuple(str(row.get(c, 0)) for c in classes)) for fold, row in nested.items())
    plain = tuple((f"images, {fold}", str(value)) for fold, value in folds.items() if not isinstance(value, dict))
    shown = {key: value for key, value in card.items() if key not in ("name", "classes", "counts", "folds")}
    return DataSide(role, str(card.get("name", role)), (*plain, *_flat(shown)), classes if counts else (), counts)


def class_names(card: dict) -> tuple[str, ...]:
    """Class names in the order of their index; a card may hold them as a list or with their counts."""
    folds = next(iter((card.get("folds") or {}).values()), None)
    return tuple(folds if isinstance(folds, dict) else card.get("classes", ()))


def _flat(card: object, prefix: str = "") -> tuple[tuple[str, str], ...]:
    if isinstance(card, dict):
        return tuple(
            row for key, value in card.items() for row in _flat(value, f"{prefix} {key}".strip().replace("_", " "))
        )
    if isinstance(card, list) and any(isinstance(item, dict) for item in card):
        return tuple(row for item in card for row in _flat(item, prefix))
    if isinstance(card, list):
        text = ", ".join(str(item) for item in card[:12]) + (f" and {len(card) - 12} more" if len(card) > 12 else "")
        return ((prefix, text or "none"),)
    if card is None:
        return ((prefix, "not known"),)
    return ((prefix, f"{card:.3f}" if isinstance(card, float) else str(card)),)


def _scatter_json(facts: ParetoFacts | None, run: Run) -> str:
    if facts is None:
        return "null"
    points = [
        {"s": p.signature, "l": p.label, "v": [round(v, 5) if math.isfinite(v) else None for v in p.values]}
        for p in facts.points
    ]
    metrics = [{"name": name, "title": metric_names.title(name)} for name in facts.metrics]
    # '<' is escaped so that no value can close the script element around it.
    return json.dumps({"metrics": metrics, "points": points}, separators=(",", ":")).replace("<", "\\u003c")
