"""How the images of source and target differ, property by property: distributions, how well each alone tells the domains apart, pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Panel, number
from analysis.figures.gallery import data_uri
from analysis.order_measures import weighted_auroc

TITLES = {
    "grey_mean": "mean grey level",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "speckle_px": "speckle size, pixels",
    "letters": "letters of burned-in text",
}
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
WIDTH, HEIGHT, PICTURE = 300, 190, 62


@dataclass(frozen=True)
class Drift:
    """One property in both domains: quantiles [5], how well it alone tells target from source (folded AUROC), pictures by role."""

    name: str
    source: tuple[float, ...]
    target: tuple[float, ...]
    auroc: float
    standardized: float  # difference of means over the pooled standard deviation (Cohen's d)
    pictures: dict[str, tuple[str, ...]]  # role -> data URIs at the 10th, 50th and 90th percentile


def drifts(table: pd.DataFrame) -> tuple[Drift, ...]:
    """The properties by how far apart the domains are; empty without a table of both domains."""
    parts = (
        {role: table[(table["role"] == role) & table["grey_mean"].notna()] for role in ("source", "target")}
        if len(table)
        else {}
    )
    if not parts or not all(len(part) > 1 for part in parts.values()):
        return ()
    found = (_drift(name, parts["source"], parts["target"]) for name in TITLES if name in table)
    return tuple(sorted(found, key=lambda drift: -drift.auroc))


def _drift(name: str, source: pd.DataFrame, target: pd.DataFrame) -> Drift:
    a, b = source[name].to_numpy(float), target[name].to_numpy(float)
    values = np.concatenate([a, b])
    is_target = np.arange(len(values)) >= len(a)
    auroc = float(weighted_auroc(values, is_target, np.ones((1, len(values))))[0])
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    apart = float((b.mean() - a.mean()) / pooled) if pooled > 0 else float("nan")
    pictures = {role: _pictures(part, name) for role, part in (("source", source), ("target", target))}
    return Drift(name, _quantiles(a), _quantiles(b), max(auroc, 1 - auroc), apart, pictures)


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def _pictures(part: pd.DataFrame, name: str) -> tuple[str, ...]:
    kept = part[part["png"].str.len() > 0].sort_values(name, kind="stable")
    if not len(kept):
        return ()
    wanted = np.quantile(part[name], (0.1, 0.5, 0.9))
    places = [int(np.abs(kept[name].to_numpy() - value).argmin()) for value in wanted]
    return tuple(data_uri(kept["png"].iloc[place]) for place in places)


def draw_drift(found: tuple[Drift, ...]) -> Figure:
    """One panel a property."""
    caption = (
        "Each bar spans the 10th to the 90th percentile, its thick part the middle half, the mark is the median. Below it the images at the 10th, "
        "50th and 90th percentile. AUROC: how well the property alone tells a target image from a source image; 0.5 is not at all. "
        "A property that differs is a candidate cause of the loss on the target, no proof of it."
    )
    rows = tuple(
        (
            TITLES[one.name],
            *(number(value) for value in (*one.source, *one.target)),
            number(one.auroc),
            number(one.standardized, 2),
        )
        for one in found
    )
    heads = tuple(f"{role} {round(100 * q)} %" for role in ("source", "target") for q in QUANTILES)
    table = DataTable(("property", *heads, "AUROC target against source", "standardized difference"), rows)
    panels = tuple(Panel(f"{TITLES[one.name]} (AUROC {number(one.auroc, 2)})", _draw(one)) for one in found)
    return Figure("drift", "How do the images of the two hospitals differ?", caption, panels, table, nav="Drift")


def _draw(one: Drift) -> Markup:
    low, high = min(one.source[0], one.target[0]), max(one.source[-1], one.target[-1])
    scale = svg.Scale(low, high if high > low else low + 1, 60, WIDTH - 10)
    parts = []
    for line, (role, values) in enumerate((("source", one.source), ("target", one.target))):
        y = 16 + line * HEIGHT / 2
        x = [scale(value) for value in values]
        parts += [
            svg.el("text", role, x=2, y=y + 4, class_="tick"),
            svg.el("line", x1=x[0], x2=x[4], y1=y, y2=y, class_=f"whisker s{line}"),
            svg.el("line", x1=x[1], x2=x[3], y1=y, y2=y, class_=f"whisker s{line}", stroke_width=7),
            svg.el("path", d=svg.marker(line, x[2], y), class_=f"dot s{line}"),
            svg.el(
                "text", svg.tick_text(float(f"{values[2]:.3g}")), x=x[2], y=y - 8, class_="tick", text_anchor="middle"
            ),
        ]
        parts += [
            svg.el("image", href=uri, x=60 + number * (PICTURE + 12), y=y + 10, width=PICTURE, height=PICTURE)
            for number, uri in enumerate(one.pictures[role])
        ]
    words = f"{TITLES[one.name]}: median {number(one.source[2])} in the source, {number(one.target[2])} in the target"
    return svg.figure_svg(WIDTH, HEIGHT, words, parts)
