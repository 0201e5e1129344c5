"""What the page needs of every figure: drawings, words, and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from analysis.figures import svg
from analysis.intervals import Interval
from sweep.core.counts import counted as counted

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class DataTable:
    """The numbers of a figure; shown on demand and read by screen readers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Legend:
    """What a line or mark stands for; `style` names classes of the page's style, `shape` a marker, which lies on `line` where it is given."""

    text: str
    style: str
    shape: int | None = None
    line: str = ""

    @property
    def drawing(self) -> Markup:
        """The sample beside the words, 22 by 12 px."""
        parts = []
        if self.shape is None or self.line:
            parts.append(svg.el("line", x1=1, x2=21, y1=6, y2=6, class_=self.line or self.style))
        if self.shape is not None:
            parts.append(svg.el("path", d=svg.marker(self.shape, 11, 6, 4.0), class_=self.style))
        return Markup("").join(parts)


@dataclass(frozen=True)
class Panel:
    """One drawing with its small heading, and a legend where it needs one of its own."""

    title: str
    svg: Markup
    legend: tuple[Legend, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A titled figure of one or more panels."""

    key: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    table: DataTable
    legend: tuple[Legend, ...] = ()
    wide: bool = False
    nav: str = ""
    notes: tuple[str, ...] = field(default=())


def hidden_series(series: Mapping[str, Sequence[tuple[float, float]]], within: float) -> tuple[str, ...]:
    """Sentences on the series that cannot be told apart in a drawing: same places across, heights closer than `within` everywhere."""
    left, sentences = list(series), []
    while left:
        first = left.pop(0)
        alike = [name for name in left if _alike(series[first], series[name], within)]
        left = [name for name in left if name not in alike]
        if alike:
            sentences.append(f"{', '.join([first, *alike[:-1]])} and {alike[-1]} lie under each other.")
    return tuple(sentences)


def _alike(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]], within: float) -> bool:
    return len(a) == len(b) > 0 and all(
        x == other_x and abs(y - other_y) < within for (x, y), (other_x, other_y) in zip(a, b, strict=True)
    )


def number(value: float | None, digits: int = 3) -> str:
    """A share with a true minus sign; a dash where there is none."""
    if value is None or value != value:
        return "\N{EN DASH}"
    return f"{value:.{digits}f}".replace("-", MINUS)


def with_interval(made: Interval) -> str:
    """'0.742 [0.689, 0.791]'."""
    return f"{number(made.estimate)} [{number(made.low)}, {number(made.high)}]"


def points(value: float) -> str:
    """A difference in points with its sign: '+1.8', '-0.4'."""
    return f"{100 * value:+.1f}".replace("-", MINUS)


def difference_text(made: Interval) -> str:
    """'+1.8 points [-0.6, +4.1]'."""
    return f"{points(made.estimate)} points [{points(made.low)}, {points(made.high)}]"


def p_text(p: float) -> str:
    """'p = 0.03' or 'p < 0.001'."""
    if p != p:
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
