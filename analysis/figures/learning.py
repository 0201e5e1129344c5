"""How training went: each metric over epochs for the leading configurations, with the spread over their seeds."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from analysis import metric_names
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, hidden_series, number
from analysis.frames import Run

MOST_LINES = 6
PANEL_PX = 218  # height of a panel between its axes: closer lines than one pixel are one line
SHOWN = ("auroc/source_val", "loss/train")


@dataclass(frozen=True)
class LearningCurve:
    """One configuration's metric over epochs: mean, smallest and largest over seeds."""

    label: str
    metric: str
    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def learning_curves(run: Run, signatures: list[str], labels: dict[str, str]) -> tuple[LearningCurve, ...]:
    """Curves of the first configurations given, for every shown metric that was logged by epoch."""
    epochs = run.epochs
    metrics = [metric for metric in SHOWN if metric in epochs]
    found = []
    for key in signatures[:MOST_LINES]:
        rows = epochs[epochs["signature"] == key]
        for metric in metrics:
            by_epoch = rows.groupby("epoch")[metric].agg(["mean", "min", "max"]).dropna()
            if len(by_epoch):
                columns = (tuple(float(value) for value in by_epoch[name]) for name in ("mean", "min", "max"))
                found.append(LearningCurve(labels[key], metric, tuple(int(e) for e in by_epoch.index), *columns))
    return tuple(found)


def draw_learning_curves(curves: tuple[LearningCurve, ...]) -> Figure:
    """One panel a metric, one line a configuration."""
    names = list(dict.fromkeys(curve.label for curve in curves))
    metrics = list(dict.fromkeys(curve.metric for curve in curves))
    panels = tuple(
        Panel(metric_names.title(metric), _draw([c for c in curves if c.metric == metric], names)) for metric in metrics
    )
    caption = "Leading configurations over training: mean over seeds, shaded from the lowest to the highest seed for the first."
    last = tuple(
        (
            c.label,
            metric_names.title(c.metric),
            str(c.epochs[-1]),
            number(c.mean[-1]),
            number(c.low[-1]),
            number(c.high[-1]),
        )
        for c in curves
    )
    table = DataTable(("configuration", "metric", "epochs", "last, mean", "lowest seed", "highest seed"), last)
    legend = tuple(Legend(name, f"dot s{i}", shape=i, line=f"line s{i}") for i, name in enumerate(names))
    notes = tuple(note for metric in metrics for note in _hidden(metric, [c for c in curves if c.metric == metric]))
    return Figure("learning", "How did training go?", caption, panels, table, legend, notes=notes)


def _hidden(metric: str, curves: list[LearningCurve]) -> tuple[str, ...]:
    """Which configurations' lines cannot be told apart in the panel of a metric."""
    values = [value for curve in curves for value in (*curve.low, *curve.high)]
    series = {curve.label: list(zip(map(float, curve.epochs), curve.mean, strict=True)) for curve in curves}
    texts = hidden_series(series, (max(values) - min(values)) / PANEL_PX)
    return tuple(f"{metric_names.title(metric)}: {text}" for text in texts)


def _draw(curves: list[LearningCurve], names: list[str]) -> Markup:
    metric = curves[0].metric
    last = max(curve.epochs[-1] for curve in curves)
    values = [value for curve in curves for value in (*curve.low, *curve.high)]
    plot = svg.Plot.over((1, max(last, 2)), svg.nice_range(values, floor=0), width=480, height=270)
    whole = [(value, svg.tick_text(value)) for value in svg.ticks(1, max(last, 2)) if float(value).is_integer()]
    parts = [plot.axes("epoch", metric_names.short(metric), x_ticks=whole)]
    for curve in curves:
        xs, style = list(curve.epochs), f"s{names.index(curve.label)}"
        if curve.label == names[0]:
            parts.append(
                svg.el(
                    "path", d=svg.band(plot.points(xs, curve.low), plot.points(xs, curve.high)), class_=f"band {style}"
                )
            )
        tip = f"{curve.label}: {number(curve.mean[-1])} after epoch {xs[-1]}"
        parts.append(svg.el("path", d=svg.path(plot.points(xs, curve.mean)), class_=f"line {style}"))
        end = plot.points(xs[-1:], curve.mean[-1:])[0]
        parts.append(
            svg.el(
                "path",
                d=svg.marker(names.index(curve.label), *end, 3.8),
                class_=f"dot mark {style}",
                tabindex="0",
                role="img",
                data_tip="",
                aria_label=tip,
            )
        )
    return svg.figure_svg(plot.width, plot.height, f"{metric_names.title(metric)} over epochs", parts)
