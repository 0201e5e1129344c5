"""Every configuration as a line through its settings and its results; ranges on the axes select."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis import derived, metric_names
from analysis.figures import svg
from analysis.figures.figure import MINUS, DataTable, Figure, Panel, number
from analysis.frames import Run
from analysis.selection import best_first

MOST_LINES = 400
MOST_AXES = 9
WIDTH, HEIGHT, TOP, BOTTOM = 1060, 350, 46, 48
LANE = HEIGHT - 14.0  # where lines pass an axis whose setting they do not have
LETTER = 6.4  # px, width of a tick's letter
STEPS = 5  # shades from the worst to the best configuration


@dataclass(frozen=True)
class Axis:
    """One vertical: a setting or a metric, with its labelled heights in [0, 1]."""

    name: str
    title: str
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class ParallelFacts:
    """Axes, and for each configuration its heights (None where the setting is absent) and its shade 0 (worst) to 4 (best)."""

    axes: tuple[Axis, ...]
    signatures: tuple[str, ...]
    labels: tuple[str, ...]
    heights: tuple[tuple[float | None, ...], ...]
    shades: tuple[int, ...]
    left_out: int


def parallel_facts(run: Run, metrics: tuple[str, ...], labels: dict[str, str]) -> ParallelFacts | None:
    """Varying settings, then the metrics; the configurations best in the first metric. None with fewer than two of either."""
    settings = derived.varying_settings(run.configs)[: MOST_AXES - len(metrics)]
    if not settings or not metrics or len(run.means) < 2:
        return None
    best = run.means[metrics[0]] * metric_names.sign(metrics[0], run.goals)
    keys = best_first(best)[:MOST_LINES]
    columns = [_setting_axis(name, run.configs.loc[keys, name]) for name in settings] + [
        _metric_axis(name, run.means.loc[keys, name]) for name in metrics
    ]
    heights = tuple(zip(*(column for _, column in columns), strict=True))
    place = best[keys].rank(pct=True).fillna(0).to_numpy()
    shades = tuple(int(min(STEPS - 1, p * STEPS)) for p in place)
    return ParallelFacts(
        tuple(axis for axis, _ in columns),
        tuple(keys),
        tuple(labels[key] for key in keys),
        heights,
        shades,
        len(best) - len(keys),
    )


def _setting_axis(name: str, column: pd.Series) -> tuple[Axis, list[float | None]]:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().eq(column.notna()).all() and numbers.nunique() > 1:
        return _number_axis(
            name,
            name.replace("_", " "),
            numbers,
            logarithmic=bool((numbers.dropna() > 0).all() and numbers.max() > 20 * numbers.min()),
        )
    values = sorted(column.dropna().astype(str).unique())
    step = 1 / max(1, len(values) - 1)
    heights = {value: place * step if len(values) > 1 else 0.5 for place, value in enumerate(values)}
    marks = tuple((height, value) for value, height in heights.items())
    return Axis(name, name.replace("_", " "), marks), [
        heights.get(str(value)) if pd.notna(value) else None for value in column
    ]


def _metric_axis(name: str, column: pd.Series) -> tuple[Axis, list[float | None]]:
    words, split = metric_names.heading(name)
    return _number_axis(name, f"{words} {split}".strip() if "gap" not in name else words, column, logarithmic=False)


def _number_axis(name: str, title: str, numbers: pd.Series, *, logarithmic: bool) -> tuple[Axis, list[float | None]]:
    values = np.log10(numbers) if logarithmic else numbers
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    levels = np.linspace(low, high, 4)
    texts = [(f"{10**level:.2g}" if logarithmic else f"{level:.3g}").replace("-", MINUS) for level in levels]
    marks = tuple(((float(level) - low) / span, text) for level, text in zip(levels, texts, strict=True))
    return Axis(name, title, marks), [None if pd.isna(value) else float((value - low) / span) for value in values]


def draw_parallel(facts: ParallelFacts) -> Figure:
    """Lines over axes, best drawn last; the page adds ranges on the axes."""
    caption = "Each line is one configuration; the strongest fifth is best in the first result. Drag along an axis to keep what passes through; ranges on several axes add up."
    if any(h is None for row in facts.heights for h in row):
        caption += " A line that passes below an axis does not have that setting (none)."
    rows = tuple(
        (label, *("none" if h is None else number(h, 2) for h in heights))
        for label, heights in zip(facts.labels[:40], facts.heights, strict=False)
    )
    table = DataTable(("configuration", *(f"{axis.title} (place on the axis)" for axis in facts.axes)), rows)
    notes = (f"{facts.left_out} configurations further down are not drawn.",) if facts.left_out else ()
    return Figure(
        "parallel",
        "What do good configurations share?",
        caption,
        (Panel("", _draw(facts)),),
        table,
        wide=True,
        nav="Settings",
        notes=notes,
    )


def _draw(facts: ParallelFacts) -> Markup:
    xs = np.linspace(60, WIDTH - 60, len(facts.axes))
    y = svg.Scale(0, 1, HEIGHT - BOTTOM, TOP)
    order = sorted(range(len(facts.labels)), key=lambda i: facts.shades[i])
    lines = svg.group((_line(facts, i, xs, y) for i in order), class_="lines")
    absent = [any(row[i] is None for row in facts.heights) for i in range(len(facts.axes))]
    axes = [
        part
        for x, axis, none in zip(xs, facts.axes, absent, strict=True)
        for part in [*_axis(axis, float(x), y), *(_none(float(x), y) if none else ())]
    ]
    return svg.figure_svg(
        WIDTH,
        HEIGHT,
        "Configurations as lines through settings and results",
        [lines, *axes],
        id="parallel-plot",
        role="group",
    )


def _line(facts: ParallelFacts, i: int, xs: np.ndarray, y: svg.Scale) -> Markup:
    places = [(float(x), y(h) if h is not None else LANE) for x, h in zip(xs, facts.heights[i], strict=True)]
    heights = " ".join("-" if h is None else f"{h:.3f}" for h in facts.heights[i])
    return svg.el(
        "path",
        d=svg.path(places),
        class_=f"thread shade-{facts.shades[i]}",
        data_s=facts.signatures[i],
        data_h=heights,
        data_tip=facts.labels[i],
    )


def _none(x: float, y: svg.Scale) -> list[Markup]:
    """The place below an axis of the configurations that do not have its setting."""
    word = "none"
    return [
        svg.el("line", x1=x, x2=x, y1=y.start, y2=LANE, class_="lane"),
        svg.el("rect", x=x + 4, y=LANE - 8, width=LETTER * len(word) + 4, height=16, rx=3, class_="plate"),
        svg.el("text", word, x=x + 6, y=LANE, dy="0.35em", class_="tick"),
    ]


def _axis(axis: Axis, x: float, y: svg.Scale) -> list[Markup]:
    words = axis.title.split()
    half = (len(words) + 1) // 2 if len(axis.title) > 14 else len(words)
    parts = [
        svg.el("text", " ".join(part), x=x, y=14 + 14 * line, text_anchor="middle", class_="label")
        for line, part in enumerate((words[:half], words[half:]))
        if part
    ]
    parts.append(svg.el("line", x1=x, x2=x, y1=y.start, y2=y.end, class_="axis"))
    for height, text in axis.marks:
        parts.append(
            svg.el("rect", x=x + 4, y=y(height) - 8, width=LETTER * len(text) + 4, height=16, rx=3, class_="plate")
        )
        parts.append(svg.el("text", text, x=x + 6, y=y(height), dy="0.35em", class_="tick"))
    parts.append(
        svg.el("rect", x=x - 12, y=y.end, width=24, height=y.start - y.end, class_="grip", data_name=axis.name)
    )
    return [svg.group(parts, class_="vertical")]
