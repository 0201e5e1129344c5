"""How much of the variation between configurations each setting explains by itself.

A conditional hyperparameter is judged among the configurations in which it is active: to be absent is no value of it, since what is absent
with it (a colorizer, synthetic images) is another setting's effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis import derived, metric_names
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Panel
from analysis.frames import Run
from sweep.core.seeds import rng

LEVELS = 4  # numeric settings with more values are cut into this many groups of equal size
DRAWS = 300
FEWEST = 8  # configurations


@dataclass(frozen=True)
class Importance:
    """One setting: share of the variance of a metric that its groups explain (adjusted for their number), with a 95 % interval.

    `among` is how many configurations have it, and so what the variance is taken over.
    """

    setting: str
    groups: int
    share: float
    low: float
    high: float
    among: int


def importances(run: Run, metric: str) -> tuple[Importance, ...]:
    """All settings that vary, most important first; empty with fewer than eight configurations in which one is active."""
    values = run.means[metric].replace([np.inf, -np.inf], np.nan).dropna()
    rows = []
    for name in derived.varying_settings(run.configs):
        active = run.configs.loc[values.index, name].dropna()
        measured = values[active.index]
        if len(measured) >= FEWEST and measured.var() > 0:
            rows.append(_importance(name, _groups(active), measured.to_numpy()))
    return tuple(sorted((row for row in rows if row is not None), key=lambda row: -row.share))


def _groups(column: pd.Series) -> np.ndarray:
    number = pd.to_numeric(column, errors="coerce")
    if number.notna().all() and number.nunique() > LEVELS + 2:
        return pd.qcut(number.rank(method="first"), LEVELS, labels=False).to_numpy(int)
    return pd.factorize(column.astype(str))[0]


def _importance(name: str, groups: np.ndarray, values: np.ndarray) -> Importance | None:
    count = len(np.unique(groups))
    if count < 2 or count > len(values) / 2:
        return None
    draw = rng(0, "importance", name)
    picks = draw.integers(0, len(values), size=(DRAWS, len(values)))
    shares = [explained(groups[pick], values[pick]) for pick in picks]
    low, high = np.quantile(shares, [0.025, 0.975])
    return Importance(name, count, explained(groups, values), float(low), float(high), len(values))


def explained(groups: np.ndarray, values: np.ndarray) -> float:
    """Epsilon squared: 1 minus the ratio of mean squares within groups and overall, not below 0 (Kelley 1935)."""
    total, count = ((values - values.mean()) ** 2).sum(), len(np.unique(groups))
    if total == 0 or len(values) <= count:
        return 0.0
    sums, sizes = np.bincount(groups - groups.min(), values), np.bincount(groups - groups.min())
    means = sums / np.maximum(sizes, 1)
    within = ((values - means[groups - groups.min()]) ** 2).sum()
    return float(max(0.0, 1 - (within / (len(values) - count)) / (total / (len(values) - 1))))


def draw_importances(by_metric: dict[str, tuple[Importance, ...]]) -> Figure:
    """One panel a metric."""
    caption = (
        "Share of the variation between configurations that a setting explains by itself, adjusted for chance; whiskers are 95 % bootstrap intervals over "
        f"configurations. Numbers with many values are cut into {LEVELS} groups of equal size. A setting that some configurations do not have is judged "
        "among those that have it. Settings that act only together are missed."
    )
    panels = tuple(Panel(metric_names.short(metric), _draw(rows)) for metric, rows in by_metric.items())
    table = DataTable(
        ("metric", "setting", "groups", "configurations that have it", "share", "95 % interval"),
        tuple(
            (
                metric_names.title(metric),
                row.setting,
                str(row.groups),
                str(row.among),
                f"{100 * row.share:.0f} %",
                f"{100 * row.low:.0f} to {100 * row.high:.0f} %",
            )
            for metric, rows in by_metric.items()
            for row in rows
        ),
    )
    return Figure("importance", "Which settings matter?", caption, panels, table)


def _draw(rows: tuple[Importance, ...]) -> Markup:
    step, left, width = 28, 128, 340
    scale = svg.Scale(0, 1, left, width - 44)
    parts = []
    for place, row in enumerate(rows):
        y, end = 4 + place * step, scale(row.share)
        middle = y + 10
        parts += [
            svg.el(
                "text",
                row.setting.replace("_", " "),
                x=left - 9,
                y=middle,
                dy="0.35em",
                text_anchor="end",
                class_="label",
            ),
            svg.el("rect", x=left, y=y + 4, width=scale.end - left, height=12, rx=3, class_="track"),
            svg.el("rect", x=left, y=y + 4, width=max(end - left, 1.0), height=12, rx=3, class_="bar s0"),
            svg.el("line", x1=scale(row.low), x2=scale(row.high), y1=middle, y2=middle, class_="error"),
            svg.el(
                "text", f"{100 * row.share:.0f} %", x=width, y=middle, dy="0.35em", text_anchor="end", class_="tick"
            ),
        ]
    return svg.figure_svg(width, 8 + step * len(rows), "Share of variation explained by each setting", parts)
