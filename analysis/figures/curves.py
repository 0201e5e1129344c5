"""A line of intervals in a drawing: its band, its line and a mark a point, each with its numbers for a reader's pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analysis.figures import svg
from analysis.intervals import Interval


@dataclass(frozen=True)
class Look:
    """Classes of the page's style, the marker's shape, and whether the interval is drawn as a band."""

    style: str
    shape: int
    banded: bool


def draw_curve(
    plot: svg.Plot, xs: Sequence[float], made: Sequence[Interval], look: Look, tips: Sequence[str]
) -> Markup:
    """One curve over `xs`; `tips` are the words of each point."""
    colour = look.style.replace("line", "").strip()
    line = plot.points(xs, [one.estimate for one in made])
    parts = []
    if look.banded:
        low, high = plot.points(xs, [one.low for one in made]), plot.points(xs, [one.high for one in made])
        parts.append(svg.el("path", d=svg.band(low, high), class_=f"band {colour}"))
    parts.append(svg.el("path", d=svg.path(line), class_=look.style))
    for tip, (x, y) in zip(tips, line, strict=True):
        mark = svg.marker(look.shape, x, y, 3.6)
        parts.append(
            svg.el("path", d=mark, class_=f"mark dot {colour}", tabindex="0", data_tip="", role="img", aria_label=tip)
        )
    return svg.group(parts)
