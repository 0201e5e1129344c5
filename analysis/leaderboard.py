"""The ranking as the page shows it: numbers, intervals drawn on one scale, the constant predictor beside accuracies."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from analysis import derived, metric_names
from analysis.figures import svg
from analysis.figures.figure import number
from analysis.frames import Run
from analysis.intervals import Interval
from analysis.ranking import Ranked, Ranking
from analysis.superiority import chance_text
from analysis.winner import Winner

DRAWN = "auroc/target"
WIDTH, HEIGHT = 96, 20


@dataclass(frozen=True)
class Column:
    """A metric's heading, its full name, and the constant predictor's level where one must be known."""

    metric: str
    title: str
    split: str
    full: str
    constant: str
    scale: Markup | None = None  # the scale of the interval strips below, None where there are none


@dataclass(frozen=True)
class Cell:
    """One number with its interval; `drawing` is None but in the column that is drawn."""

    value: float
    text: str
    interval: str
    drawing: Markup | None


@dataclass(frozen=True)
class Row:
    """One configuration of the leaderboard."""

    rank: int
    signature: str
    label: str
    settings: str
    front: int
    cells: tuple[Cell, ...]
    mark: str
    condition: str


@dataclass(frozen=True)
class Leaderboard:
    """Heading, columns and rows; `oracle` when the order looks at the target."""

    describe: str
    oracle: bool
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    ranked: int
    no_better: dict[str, Chance]  # by signature; empty where nothing can be said of any row


@dataclass(frozen=True)
class Chance:
    """Probability that the first row is not truly better than this one."""

    value: float
    text: str


def leaderboard(run: Run, ranking: Ranking, best: Winner | None = None) -> Leaderboard:
    """The page's table of a ranking, with what is known of its winner against each row."""
    drawn = [row.numbers[DRAWN] for row in ranking.rows if DRAWN in row.numbers]
    ends = [value for made in drawn for value in (made.low, made.high) if value == value]
    scale = svg.Scale(*svg.nice_range(ends, floor=0, ceiling=1), 4, WIDTH - 4)
    columns = tuple(_column(ranking, metric, scale if drawn else None) for metric in ranking.metrics)
    searched = [
        name
        for name in derived.varying_settings(run.configs)
        if not any(name in study for study in run.studies.values())
    ]
    rows = tuple(_row(row, ranking.metrics, searched, scale) for row in ranking.rows)
    return Leaderboard(ranking.describe, ranking.oracle, columns, rows, ranking.ranked, _no_better(best))


def _no_better(best: Winner | None) -> dict[str, Chance]:
    chances = best.chances if best else {}
    return {key: Chance(value, chance_text(value)) for key, value in chances.items() if value == value}


def _column(ranking: Ranking, metric: str, scale: svg.Scale | None) -> Column:
    constant = number(ranking.constants[metric]) if metric in ranking.constants else ""
    title, split = metric_names.heading(metric)
    if ranking.rows and not any(row.numbers[metric].images for row in ranking.rows):
        split = f"{split}, seeds alone".removeprefix(", ")
    strip = _scale(scale, ranking.constants.get(metric)) if scale is not None and metric == DRAWN else None
    return Column(metric, title, split, metric_names.title(metric), constant, strip)


def _scale(scale: svg.Scale, constant: float | None) -> Markup:
    """The ends of the interval strips' scale, and the constant predictor's place on it."""
    parts = [
        svg.el("line", x1=scale.start, x2=scale.end, y1=5, y2=5, class_="axis"),
        *(svg.el("line", x1=x, x2=x, y1=1, y2=9, class_="axis") for x in (scale.start, scale.end)),
        svg.el("text", f"{scale.low:.2f}", x=0, y=HEIGHT, class_="tick"),
        svg.el("text", f"{scale.high:.2f}", x=WIDTH, y=HEIGHT, text_anchor="end", class_="tick"),
    ]
    if constant is not None and scale.low <= constant <= scale.high:
        parts.append(svg.el("path", d=svg.marker(2, scale(constant), 5, 3.2), class_="dot s7"))
    words = f"Scale of the intervals: {scale.low:.2f} to {scale.high:.2f}"
    size = {"viewBox": f"0 0 {WIDTH} {HEIGHT + 2}", "width": WIDTH, "height": HEIGHT + 2}
    return svg.el("svg", *parts, **size, class_="spark strip-scale", role="img", aria_label=words)


def _row(row: Ranked, metrics: tuple[str, ...], searched: list[str], scale: svg.Scale) -> Row:
    words = [derived.setting_text(name, row.config.get(name)) for name in searched]
    cells = tuple(_cell(metric, row.numbers[metric], scale) for metric in metrics)
    settings = " · ".join(filter(None, words))
    return Row(row.rank, row.signature, row.label, settings, row.front, cells, row.mark, row.condition)


def _cell(metric: str, made: Interval, scale: svg.Scale) -> Cell:
    low, high = (metric_names.value_text(metric, value) for value in (made.low, made.high))
    text = f"{low} \N{EN DASH} {high}" if made.low == made.low else ""
    drawing = _drawing(made, scale) if metric == DRAWN and made.low == made.low else None
    return Cell(made.estimate, metric_names.value_text(metric, made.estimate), text, drawing)


def _drawing(made: Interval, scale: svg.Scale) -> Markup:
    middle = HEIGHT / 2
    low, high = scale(max(made.low, scale.low)), scale(min(made.high, scale.high))
    parts = [
        svg.el("line", x1=scale.start, x2=scale.end, y1=middle, y2=middle, class_="grid"),
        svg.el("line", x1=low, x2=high, y1=middle, y2=middle, class_="whisker s0"),
        svg.el("circle", cx=scale(made.estimate), cy=middle, r=4.2, class_="dot s0"),
    ]
    return svg.el(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH, height=HEIGHT, class_="spark", aria_hidden="true"
    )
