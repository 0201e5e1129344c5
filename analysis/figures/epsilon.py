"""Accuracy over the attack's epsilon: every threat and the worst case of one configuration, and the worst case of several."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from analysis import metric_names
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.curves import Look, draw_curve
from analysis.figures.figure import DataTable, Figure, Legend, Panel, hidden_series, number, with_interval
from analysis.frames import Run
from analysis.intervals import Interval
from sweep.core.epsilon import parse_epsilon

SPLITS = {"target": "target", "source": "source test"}
MOST_LINES = 6
ONE_PIXEL = 0.004  # of the accuracy axis, which is 250 px high
PIXEL = 255  # epsilons are shown in grey levels of an 8-bit image


@dataclass(frozen=True)
class EpsilonCurve:
    """Accuracy of one configuration under one threat; epsilon in [0, 1] pixel units, the first is 0 (clean)."""

    name: str
    signature: str
    threat: str
    eps: tuple[float, ...]
    made: tuple[Interval, ...]


@dataclass(frozen=True)
class Reach:
    """Smallest epsilon at which a curve has fallen to a level, and where its band has; inf beyond the largest."""

    eps: float
    low: float
    high: float


@dataclass(frozen=True)
class EpsilonFacts:
    """One split: curves of one configuration per threat, worst-case curves of several, the constant predictor's accuracy.

    `median` is where half of the images are broken in the worst case, `crossing` where accuracy is no better than the constant
    predictor's (None where that is not known).
    """

    split: str
    label: str
    by_threat: tuple[EpsilonCurve, ...]
    worst: tuple[EpsilonCurve, ...]
    constant: float | None
    median: Reach
    crossing: Reach | None


def epsilon_facts(
    run: Run, estimates: Estimates, signatures: list[str], labels: dict[str, str]
) -> tuple[EpsilonFacts, ...]:
    """Curves for the configurations given, best first, on every attacked split; empty when the sweep attacked nothing."""
    made = (_facts(run, estimates, signatures, labels, split) for split in SPLITS)
    return tuple(facts for facts in made if facts is not None)


def _facts(
    run: Run, estimates: Estimates, signatures: list[str], labels: dict[str, str], split: str
) -> EpsilonFacts | None:
    grid = _grid(run, split)
    if not grid or not signatures:
        return None
    first = signatures[0]
    threats = sorted(grid, key=lambda threat: (threat == metric_names.WORST, threat))
    by_threat = tuple(_curve(run, estimates, first, threat, threat, grid[threat], split) for threat in threats)
    shared = metric_names.WORST if metric_names.WORST in grid else threats[-1]
    worst = tuple(
        _curve(run, estimates, key, labels[key], shared, grid[shared], split) for key in signatures[:MOST_LINES]
    )
    # Under attack an image with several findings stands while all are right: the constant predictor's mean over findings is another number.
    constant = None if run.findings else run.means.get(f"constant_accuracy/{split}")
    level = None if constant is None else float(constant.mean())
    return EpsilonFacts(
        split,
        labels[first],
        by_threat,
        worst,
        level,
        reach(worst[0], math.nextafter(0.5, 0)),
        None if level is None else reach(worst[0], level),
    )


def reach(curve: EpsilonCurve, level: float) -> Reach:
    """Where `curve` and both ends of its band have fallen to `level`: the epsilons that the interval cannot tell apart."""
    ends = ([getattr(made, end) for made in curve.made] for end in ("estimate", "low", "high"))
    return Reach(
        *(
            next((eps for eps, value in zip(curve.eps, values, strict=True) if value <= level), math.inf)
            for values in ends
        )
    )


def _grid(run: Run, split: str) -> dict[str, dict[float, str]]:
    # threat -> epsilon -> recorded metric name.
    grid: dict[str, dict[float, str]] = {}
    for name in run.metrics:
        parts = metric_names.parse(name)
        if parts.family == metric_names.ROBUST and parts.split == split and parts.threat and parts.eps:
            grid.setdefault(parts.threat, {})[parse_epsilon(parts.eps)] = name
    return {threat: dict(sorted(row.items())) for threat, row in grid.items()}


def _curve(
    run: Run, estimates: Estimates, signature: str, name: str, threat: str, row: dict[float, str], split: str
) -> EpsilonCurve:
    names = dict(row)
    if f"accuracy/{split}" in run.metrics:
        names = {0.0: f"accuracy/{split}", **names}
    return EpsilonCurve(
        name, signature, threat, tuple(names), tuple(estimates.of(signature, metric) for metric in names.values())
    )


def draw_epsilon_curves(facts: tuple[EpsilonFacts, ...]) -> Figure:
    """Two panels a split on the same scales: threats of the recommended configuration, worst cases of the leading ones."""
    caption = (
        "Share of images still classified right when every grey level may move by at most epsilon. The worst case counts an image as lost "
        "when any threat breaks it. Bands are 95 % intervals over patients and seeds; "
        + (
            "the dashed line is the constant predictor on clean images."
            if any(one.constant is not None for one in facts)
            else "an image with several findings is right when all of those known are."
        )
    )
    panels = tuple(panel for one in facts for panel in _panels(one))
    return Figure(
        "epsilon",
        "What survives an attack?",
        caption,
        panels,
        _table(facts),
        nav="Attacks",
        notes=tuple(note for one in facts for note in (_note(one), *_hidden(one))),
    )


def _panels(facts: EpsilonFacts) -> tuple[Panel, Panel]:
    where = SPLITS[facts.split]
    left = _draw(facts, facts.by_threat, f"{facts.label} on the {where}, by threat")
    right = _draw(facts, facts.worst, f"worst case over all threats on the {where}, by configuration")
    return (
        Panel(f"By threat, {where}: {facts.label}", left, _legend(facts.by_threat)),
        Panel(f"Worst case, {where}: leading configurations", right, _legend(facts.worst)),
    )


def _note(facts: EpsilonFacts) -> str:
    last = facts.worst[0].eps[-1]
    half = f"half of the images are broken {_at(facts.median, last)}"
    level = (
        f", and accuracy is no better than the constant predictor's {_at(facts.crossing, last)}"
        if facts.crossing
        else ""
    )
    return f"{facts.label}, worst case on the {SPLITS[facts.split]}: {half}{level}."


def _at(found: Reach, last: float) -> str:
    def text(eps: float) -> str:
        return "epsilon 0" if eps == 0 else f"{eps * PIXEL:g}/255" if eps < math.inf else f"beyond {last * PIXEL:g}/255"

    at = "only beyond" if found.eps == math.inf else "at"
    return f"{at} {text(found.eps).removeprefix('beyond ')} (95 %: {text(found.low)} to {text(found.high)})"


def _legend(curves: tuple[EpsilonCurve, ...]) -> tuple[Legend, ...]:
    styles = [_style(i, curve, curves) for i, curve in enumerate(curves)]
    return tuple(
        Legend(_curve_name(curve), style.replace("line", "dot"), shape=i, line=style)
        for i, (curve, style) in enumerate(zip(curves, styles, strict=True))
    )


def _curve_name(curve: EpsilonCurve) -> str:
    return "worst case" if curve.name == metric_names.WORST else curve.name


def _hidden(facts: EpsilonFacts) -> tuple[str, ...]:
    """Which curves of a split cannot be told apart, in each of its two panels."""
    found = []
    for words, curves in (("by threat", facts.by_threat), ("worst case", facts.worst)):
        series = {
            _curve_name(curve): [(eps, made.estimate) for eps, made in zip(curve.eps, curve.made, strict=True)]
            for curve in curves
        }
        found += [f"{SPLITS[facts.split].capitalize()}, {words}: {text}" for text in hidden_series(series, ONE_PIXEL)]
    return tuple(found)


def _style(index: int, curve: EpsilonCurve, among: tuple[EpsilonCurve, ...]) -> str:
    by_threat = len({c.threat for c in among}) > 1
    return "line worst" if by_threat and curve.threat == metric_names.WORST else f"line s{index % svg.SERIES}"


def _draw(facts: EpsilonFacts, curves: tuple[EpsilonCurve, ...], label: str) -> Markup:
    levels = sorted({eps * PIXEL for curve in curves for eps in curve.eps})
    plot = svg.Plot.over((0, levels[-1] * 1.03), (0, 1), width=480, height=300)
    parts = [
        plot.axes("epsilon in grey levels of 255", f"accuracy on the {SPLITS[facts.split]}", x_ticks=_spaced(levels))
    ]
    if facts.constant is not None:
        parts.append(
            svg.el(
                "line",
                x1=plot.x.start,
                x2=plot.x.end,
                y1=plot.y(facts.constant),
                y2=plot.y(facts.constant),
                class_="control",
            )
        )
    for index, curve in enumerate(curves):
        xs = [eps * PIXEL for eps in curve.eps]
        tips = [f"{curve.name} at {x:g}/255: {with_interval(made)}" for x, made in zip(xs, curve.made, strict=True)]
        look = Look(_style(index, curve, curves), index, banded=index in (0, len(curves) - 1))
        parts.append(draw_curve(plot, xs, curve.made, look, tips))
    return svg.figure_svg(plot.width, plot.height, f"Accuracy over epsilon, {label}", parts)


def _spaced(levels: list[float]) -> list[tuple[float, str]]:
    # Labels closer than a twentieth of the axis would touch.
    kept: list[float] = []
    for level in levels:
        if not kept or level - kept[-1] >= levels[-1] / 20:
            kept.append(level)
    return [(level, f"{level:g}") for level in kept]


def _table(facts: tuple[EpsilonFacts, ...]) -> DataTable:
    curves = [
        (one, name, curve)
        for one in facts
        for name, curve in (
            *((one.label, curve) for curve in one.by_threat),
            *((curve.name, curve) for curve in one.worst[1:]),
        )
    ]
    rows = tuple(
        (
            label,
            SPLITS[one.split],
            curve.threat,
            f"{eps * PIXEL:g}/255",
            number(made.estimate),
            f"[{number(made.low)}, {number(made.high)}]",
        )
        for one, label, curve in curves
        for eps, made in zip(curve.eps, curve.made, strict=True)
    )
    return DataTable(("configuration", "images", "threat", "epsilon", "accuracy", "95 % interval"), rows)
