"""What acquisition changes leave, over their severity: AUROC under each change for one configuration, the worst case of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analysis import metric_names
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.curves import Look, draw_curve
from analysis.figures.figure import DataTable, Figure, Legend, Panel, hidden_series, number, with_interval
from analysis.frames import Run
from analysis.intervals import Interval
from sweep.core.acquisition_names import condition_of
from sweep.core.metric_table import ACQUISITION_ACCURACY, ACQUISITION_AUROC, SOURCE_TEST, TARGET, WORST

SPLITS = (TARGET, SOURCE_TEST)
MOST_LINES = 6
ONE_PIXEL = 0.004  # of the axis, which is 250 px high
_CLEAN = {ACQUISITION_AUROC: "auroc", ACQUISITION_ACCURACY: "accuracy"}


@dataclass(frozen=True)
class AcquisitionCurve:
    """One metric of one configuration under one change (or the worst one per image) over severities; severity 0 is the unchanged image."""

    configuration: str
    change: str
    metric: str  # family
    severities: tuple[int, ...]
    made: tuple[Interval, ...]


@dataclass(frozen=True)
class AcquisitionFacts:
    """One split: AUROC of the first configuration under each change, worst-case accuracy of several."""

    split: str
    label: str
    by_change: tuple[AcquisitionCurve, ...]
    worst: tuple[AcquisitionCurve, ...]
    findings: bool


def acquisition_facts(
    run: Run, estimates: Estimates, signatures: Sequence[str], labels: dict[str, str]
) -> tuple[AcquisitionFacts, ...]:
    """Curves for the configurations given, best first, on every split that was evaluated; empty when the sweep has no acquisition changes."""
    found = []
    for split in SPLITS:
        auroc, accuracy = (_grid(run, family, split) for family in (ACQUISITION_AUROC, ACQUISITION_ACCURACY))
        if not auroc or not signatures:
            continue
        first = signatures[0]

        def curve(key: str, change: str, row: dict[int, str], split: str = split) -> AcquisitionCurve:
            family = metric_names.parse(next(iter(row.values()))).family
            clean = f"{_CLEAN[family]}/{split}"
            # An image with several findings is right in the worst case when all are: the accuracy of unchanged images is another number.
            apart = change == WORST and bool(run.findings)
            names = row if apart or clean not in run.metrics else {0: clean, **row}
            made = tuple(estimates.of(key, metric) for metric in names.values())
            return AcquisitionCurve(labels[key], change, family, tuple(names), made)

        by_change = tuple(curve(first, change, row) for change, row in auroc.items())
        worst = tuple(curve(key, WORST, accuracy[WORST]) for key in signatures[:MOST_LINES])
        found.append(AcquisitionFacts(split, labels[first], by_change, worst, bool(run.findings)))
    return tuple(found)


def _grid(run: Run, family: str, split: str) -> dict[str, dict[int, str]]:
    """Change -> severity -> recorded metric name."""
    grid: dict[str, dict[int, str]] = {}
    for name in run.metrics:
        parts = metric_names.parse(name)
        at = condition_of(parts.threat or "") if (parts.family, parts.split) == (family, split) else None
        if at:
            grid.setdefault(at[0], {})[at[1]] = name
    return {change: dict(sorted(row.items())) for change, row in sorted(grid.items())}


def draw_acquisition(facts: tuple[AcquisitionFacts, ...]) -> Figure:
    """Two panels a split: changes of the leading configuration, worst cases of several."""
    panels, notes = [], []
    for one in facts:
        where = metric_names.SPLITS[one.split]
        left = _panel(one.by_change, [curve.change for curve in one.by_change], "AUROC", f"{one.label}, {where}")
        right = _panel(one.worst, [curve.configuration for curve in one.worst], "accuracy", f"worst case, {where}")
        panels += [
            Panel(f"AUROC by change, {where}: {one.label}", *left),
            Panel(f"Accuracy in the worst case, {where}: leading configurations", *right),
        ]
        for words, curves in (("by change", one.by_change), ("worst case", one.worst)):
            notes += [f"{where.capitalize()}, {words}: {text}" for text in _hidden(curves)]
    caption = (
        "What is left when images look as if another scanner or operator had acquired them. The changes do not look at the model; severity 0 is the "
        "unchanged image. The worst case counts an image as lost when any change of that severity breaks it"
        + ("; of several findings all known ones must be right" if any(one.findings for one in facts) else "")
        + ". Bands are 95 % intervals over patients and seeds."
    )
    return Figure(
        "acquisition",
        "What survives another scanner?",
        caption,
        tuple(panels),
        _table(facts),
        nav="Acquisition",
        notes=tuple(notes),
    )


def _panel(
    curves: Sequence[AcquisitionCurve], names: Sequence[str], axis: str, label: str
) -> tuple[Markup, tuple[Legend, ...]]:
    last = max(max(curve.severities) for curve in curves)
    plot = svg.Plot.over((0, last * 1.03), (0, 1), width=480, height=300)
    parts = [plot.axes("severity", axis, x_ticks=[(value, str(value)) for value in range(last + 1)])]
    legend = []
    for index, (curve, name) in enumerate(zip(curves, names, strict=True)):
        tips = [
            f"{name} at severity {severity}: {with_interval(made)}"
            for severity, made in zip(curve.severities, curve.made, strict=True)
        ]
        style = f"line s{index % svg.SERIES}"
        parts.append(draw_curve(plot, curve.severities, curve.made, Look(style, index, banded=index == 0), tips))
        legend.append(Legend(name, style.replace("line", "dot"), shape=index, line=style))
    return svg.figure_svg(plot.width, plot.height, f"{axis} over severity, {label}", parts), tuple(legend)


def _hidden(curves: Sequence[AcquisitionCurve]) -> tuple[str, ...]:
    names = [curve.configuration if curve.change == WORST else curve.change for curve in curves]
    series = {
        name: [(float(severity), made.estimate) for severity, made in zip(curve.severities, curve.made, strict=True)]
        for name, curve in zip(names, curves, strict=True)
    }
    return hidden_series(series, ONE_PIXEL)


def _table(facts: tuple[AcquisitionFacts, ...]) -> DataTable:
    rows = tuple(
        (
            curve.configuration,
            metric_names.SPLITS[one.split],
            "worst case" if curve.change == WORST else curve.change,
            metric_names.family_title(_CLEAN[curve.metric]),
            str(severity),
            number(made.estimate),
            f"[{number(made.low)}, {number(made.high)}]",
        )
        for one in facts
        for curve in (*one.by_change, *one.worst)
        for severity, made in zip(curve.severities, curve.made, strict=True)
    )
    return DataTable(("configuration", "images", "change", "metric", "severity", "value", "95 % interval"), rows)
