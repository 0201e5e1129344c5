"""AUROC of each class against the rest, or of each finding, for one configuration on both hospitals' test images."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from analysis import metric_names
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, with_interval
from analysis.frames import Run
from analysis.intervals import Interval
from sweep.core.metric_table import AUROC, SOURCE_TEST, TARGET

SPLITS = (TARGET, SOURCE_TEST)
CHANCE = 0.5
_STEP, _OFFSET = 32, 6  # px between rows, and of a split's mark from the middle of its row
_MOST_LETTERS = 26
_WIDTH, _WIDEST = (
    366,
    480,
)  # px: fits a phone without scrolling, and is enlarged no further than its words stay of ordinary size


@dataclass(frozen=True)
class ClassRow:
    """One class or finding: split -> its AUROC, where it is defined."""

    name: str
    made: dict[str, Interval]


@dataclass(frozen=True)
class ByClassFacts:
    """The rows of one configuration, the lowest on the target (else on the source) first."""

    label: str
    rows: tuple[ClassRow, ...]
    findings: bool


def by_class_facts(run: Run, estimates: Estimates, signature: str, label: str) -> ByClassFacts | None:
    """None with two classes, and where no class has an AUROC."""
    there, rows = set(run.metrics) - set(run.undefined), []
    for name in run.tasks:
        made = {
            split: estimates.of(signature, f"{AUROC}/{split}/{name}")
            for split in SPLITS
            if f"{AUROC}/{split}/{name}" in there
        }
        defined = {split: one for split, one in made.items() if one.estimate == one.estimate}
        if defined:
            rows.append(ClassRow(name, defined))
    rows.sort(key=lambda row: next(iter(row.made.values())).estimate)
    return ByClassFacts(label, tuple(rows), bool(run.findings)) if rows else None


def draw_by_class(facts: ByClassFacts) -> Figure:
    """One panel, a row a class."""
    there = [split for split in SPLITS if any(split in row.made for row in facts.rows)]
    what = "finding" if facts.findings else "class"
    rest = "over the images where it is known" if facts.findings else "against all others"
    caption = (
        f"AUROC of each {what} {rest}, for {facts.label}; lowest first. Lines are 95 % intervals over patients and seeds; "
        "the dashed line at 0.5 is chance. The AUROC of the ranking is their mean, which can hide one that fails."
    )
    legend = tuple(
        Legend(metric_names.SPLITS[split], f"dot s{SPLITS.index(split)}", shape=SPLITS.index(split)) for split in there
    )
    table = DataTable(
        (what, "images", "AUROC and 95 % interval"),
        tuple(
            (row.name, metric_names.SPLITS[split], with_interval(made))
            for row in facts.rows
            for split, made in row.made.items()
        ),
    )
    panel = Panel(f"AUROC by {what}: {facts.label}", _draw(facts), legend)
    return Figure("by-class", f"Which {what} does it tell apart?", caption, (panel,), table, nav=f"By {what}")


def _draw(facts: ByClassFacts) -> Markup:
    lows = [made.low for row in facts.rows for made in row.made.values() if made.low == made.low]
    left, width = 12 + 7 * min(_MOST_LETTERS, max(len(row.name) for row in facts.rows)), _WIDTH
    height = _STEP * len(facts.rows)
    low = min(CHANCE - 0.05, *lows) if lows else 0.0
    scale = svg.Scale(max(0.0, low), 1.0, left, width - 14)
    parts = []
    for value in svg.ticks(scale.low, scale.high):
        x = scale(value)
        parts.append(svg.el("line", x1=x, x2=x, y1=4, y2=height + 4, class_="grid"))
        parts.append(svg.el("text", svg.tick_text(value), x=x, y=height + 20, text_anchor="middle", class_="tick"))
    parts.append(svg.el("line", x1=scale(CHANCE), x2=scale(CHANCE), y1=4, y2=height + 4, class_="lane"))
    for place, row in enumerate(facts.rows):
        parts += _row(row, 4 + place * _STEP + _STEP / 2, scale, left)
    middle = (scale.start + scale.end) / 2
    parts.append(svg.el("text", "AUROC", x=middle, y=height + 38, text_anchor="middle", class_="axis-title"))
    label = f"AUROC of each {'finding' if facts.findings else 'class'}"
    return svg.figure_svg(width, height + 44, label, parts, style=f"--w: {width}px; max-width: {_WIDEST}px")


def _row(row: ClassRow, y: float, scale: svg.Scale, left: float) -> list[Markup]:
    short = row.name if len(row.name) <= _MOST_LETTERS else row.name[: _MOST_LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    parts = [svg.el("text", short, x=left - 9, y=y, dy="0.35em", text_anchor="end", class_="label")]
    for split, made in row.made.items():
        at = SPLITS.index(split)
        here = y + (_OFFSET if at else -_OFFSET)
        if made.low == made.low:
            parts.append(svg.el("line", x1=scale(made.low), x2=scale(made.high), y1=here, y2=here, class_="error"))
        tip = f"{row.name}, {metric_names.SPLITS[split]}: {with_interval(made)}"
        mark = svg.marker(at, scale(made.estimate), here, 4.0)
        parts.append(
            svg.el("path", d=mark, class_=f"mark dot s{at}", tabindex="0", data_tip="", role="img", aria_label=tip)
        )
    return parts
