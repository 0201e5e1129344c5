"""Two configurations, of one run or of two -> one offline HTML page that shows them side by side; it loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analysis import metric_names
from analysis.comparisons import Compared
from analysis.figures import svg
from analysis.figures.figure import difference_text, p_text, with_interval
from analysis.intervals import Interval
from analysis.page import DataSide
from analysis.report import fill

WIDTH, HEIGHT = 220, 40


@dataclass(frozen=True)
class Column:
    """One side of the page: its letter, the configuration, what is said of it alone, and the data it was measured on."""

    letter: str
    name: str
    sentences: tuple[str, ...]
    data: tuple[DataSide, ...]


@dataclass(frozen=True)
class MetricRow:
    """A metric on both sides, drawn on one scale, and the difference with its adjusted p-value."""

    title: str
    a: str
    b: str
    drawing: Markup
    difference: str
    p: str


def metric_row(metric: str, a: Interval, b: Interval, difference: Compared | None) -> MetricRow:
    """One line of the table of results."""
    words, p = "other images or seeds", ""
    if difference is not None:
        words, p = difference_text(difference.interval), p_text(difference.p_adjusted)
    return MetricRow(metric_names.title(metric), with_interval(a), with_interval(b), _drawing(metric, a, b), words, p)


def as_html(
    columns: Sequence[Column],
    rows: Sequence[MetricRow],
    settings: Sequence[tuple[str, str, str]],
    sentences: Sequence[str],
) -> str:
    """The page: both columns, results, settings that differ, and what is said of the two together."""
    return fill("compare.html.j2", "", columns=columns, rows=rows, settings=settings, sentences=sentences)


def _drawing(metric: str, a: Interval, b: Interval) -> Markup:
    ends = [value for made in (a, b) for value in (made.low, made.high, made.estimate)]
    if any(value != value or abs(value) == float("inf") for value in ends):
        return Markup("")
    scale = svg.Scale(*svg.nice_range(ends), 22, WIDTH - 8)
    parts = []
    for line, made in enumerate((a, b)):
        y = 11 + 18 * line
        parts += [
            svg.el("text", "AB"[line], x=4, y=y + 4, class_="tick"),
            svg.el("line", x1=scale(made.low), x2=scale(made.high), y1=y, y2=y, class_=f"whisker s{line}"),
            svg.el("path", d=svg.marker(line, scale(made.estimate), y), class_=f"dot s{line}"),
        ]
    return svg.figure_svg(
        WIDTH, HEIGHT, f"{metric_names.title(metric)} of A and B with intervals", parts, style=f"width:{WIDTH}px"
    )
