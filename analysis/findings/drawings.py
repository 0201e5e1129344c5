"""Figures of the findings page as SVG files that stand alone: differences from the control, importance, predicted against true."""

from __future__ import annotations

from markupsafe import Markup

from analysis import metric_names
from analysis.comparisons import WORTH_SEEING
from analysis.figures import svg
from analysis.figures.importance import draw_importances
from analysis.findings.records import Against, Blind, Family, RunRecord

# Readable on white and on black, since a page's host decides about the background.
_STYLE = (
    "text{font:11px sans-serif;fill:#777}.grid,.axis,.track{stroke:#9995;fill:#9992}.zero{stroke:#777}.worth{fill:#8883}"
    ".error,.whisker{stroke:#777;stroke-width:1.2}.bar,.dot{fill:#3b7dd8}.seen{fill:#d2572f}.diagonal{stroke:#777;stroke-dasharray:4 3}"
)
_MOST_ROWS = 48
_STEP, _LEFT, _WIDTH, _BOTTOM = 16, 250, 680, 34


def drawings(record: RunRecord) -> dict[str, str]:
    """File name -> SVG of every figure that a record allows."""
    found = {
        f"{record.name}-{_slug(family.metric)}.svg": difference_svg(family, record.name) for family in record.families
    }
    for metric, rows in record.importance.items():
        if rows:
            found[f"{record.name}-importance-{_slug(metric)}.svg"] = _alone(
                draw_importances({metric: rows}).panels[0].svg
            )
    if record.blind is not None and record.blind.pairs:
        found[f"{record.name}-blind.svg"] = blind_svg(record.blind, record.name)
    return found


def difference_svg(family: Family, name: str) -> str:
    """Paired differences from the control with their intervals in points; the band is two points wide on each side of zero."""
    rows = family.rows[:_MOST_ROWS]
    ends = [100 * value for row in rows for value in (row.made.low, row.made.high)]
    worth = 100 * WORTH_SEEING
    low, high = svg.nice_range([*ends, -worth, worth])
    x = svg.Scale(low, high, _LEFT, _WIDTH - 12)
    bottom = 8 + _STEP * len(rows)
    parts = [
        svg.el("rect", x=x(-worth), y=4, width=x(worth) - x(-worth), height=bottom - 4, class_="worth"),
        svg.el("line", x1=x(0), x2=x(0), y1=4, y2=bottom, class_="zero"),
    ]
    for value in svg.ticks(low, high, 7):
        parts.append(svg.el("line", x1=x(value), x2=x(value), y1=bottom, y2=bottom + 4, class_="axis"))
        parts.append(svg.el("text", svg.tick_text(value), x=x(value), y=bottom + 15, text_anchor="middle"))
    title = f"{metric_names.title(family.metric)}: points against the control"
    parts.append(svg.el("text", title, x=(_LEFT + _WIDTH) / 2, y=bottom + 29, text_anchor="middle"))
    for place, row in enumerate(rows):
        parts += _row(row, x, 8 + _STEP * place + _STEP / 2)
    return _alone(svg.figure_svg(_WIDTH, bottom + _BOTTOM, f"{name}: {title}", parts))


def _row(row: Against, x: svg.Scale, y: float) -> list[Markup]:
    low, middle, high = (100 * value for value in (row.made.low, row.made.estimate, row.made.high))
    label = row.arm if not row.condition else f"{row.arm} ({row.condition})"
    return [
        svg.el("text", label[-44:], x=_LEFT - 8, y=y, dy="0.35em", text_anchor="end"),
        svg.el("line", x1=x(low), x2=x(high), y1=y, y2=y, class_="whisker"),
        svg.el("circle", cx=x(middle), cy=y, r=3.5, class_="seen" if row.distinguishable else "dot"),
    ]


def blind_svg(blind: Blind, name: str) -> str:
    """AUROC predicted without labels, with its 90 % interval, over the true one."""
    values = [value for row in blind.pairs for value in row if value == value]
    ends = svg.nice_range(values, floor=0.0, ceiling=1.0)
    plot = svg.Plot.over(ends, ends, width=340, height=300)
    parts = [
        plot.axes("true AUROC at the target", "predicted without its labels"),
        svg.el(
            "line", x1=plot.x(ends[0]), x2=plot.x(ends[1]), y1=plot.y(ends[0]), y2=plot.y(ends[1]), class_="diagonal"
        ),
    ]
    for made, low, high, true in blind.pairs:
        parts.append(
            svg.el("line", x1=plot.x(true), x2=plot.x(true), y1=plot.y(low), y2=plot.y(high), class_="whisker")
        )
        parts.append(svg.el("circle", cx=plot.x(true), cy=plot.y(made), r=3.5, class_="dot"))
    return _alone(svg.figure_svg(340, 300, f"{name}: predicted against true AUROC", parts))


def _alone(drawing: Markup | str) -> str:
    """A drawing of the report as a file of its own: with its namespace and style."""
    text = str(drawing)
    head, rest = text.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{svg.el("style", Markup(_STYLE))}{rest}\n'


def _slug(metric: str) -> str:
    return metric.replace("/", "-").replace("@", "-")
