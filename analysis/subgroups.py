"""The recommended configuration on parts of the target: by scanner, and by the image properties in which the domains differ most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.drift import TITLES, drifts
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Panel, counted, number
from analysis.intervals import Interval, interval, resample
from analysis.outcomes import MEASURES, Outcomes

LEAST = 10  # images of each class below which a subgroup has no numbers
PROPERTIES = 2  # whose thirds are shown
METRICS = ("auroc", "balanced_accuracy")
WIDTH, LINE = 520, 24


@dataclass(frozen=True)
class Subgroup:
    """One part of the target: what it is, its images by class, and the metrics with intervals (None where it is too small)."""

    by: str
    name: str
    images: int
    classes: tuple[int, ...]
    made: tuple[Interval | None, ...]


def subgroups(estimates: Estimates, signature: str) -> tuple[Subgroup, ...]:
    """All target images first, then its parts; empty where images were not kept or nothing divides them."""
    table = estimates.run.properties()
    outcomes = estimates.outcomes(signature, "auroc/target")
    if outcomes is None or outcomes.multi_label or not len(table):
        return ()
    rows = table[table["role"] == "target"].drop_duplicates("image_id").set_index("image_id").reindex(outcomes.images)
    parts = list(_parts(rows, table))
    if not parts:
        return ()
    everything = ("all", "all target images", np.ones(len(rows), dtype=bool))
    return tuple(_subgroup(estimates, outcomes, *part) for part in (everything, *parts))


def _parts(rows: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    scanners = rows["scanner"].fillna("").astype(str)
    if scanners.nunique() > 1:
        for name in sorted(set(scanners)):
            yield "scanner", name or "not known", (scanners == name).to_numpy()
    for drift in drifts(table)[:PROPERTIES]:
        values = rows[drift.name].to_numpy(float)
        known = ~np.isnan(values)
        if len(np.unique(values[known])) < 3:
            continue
        edges = np.quantile(values[known], (1 / 3, 2 / 3))
        third = np.where(known, np.searchsorted(edges, values, side="right"), -1)
        for place, words in enumerate(("lowest third", "middle third", "highest third")):
            yield TITLES[drift.name], words, third == place


def _subgroup(estimates: Estimates, outcomes: Outcomes, by: str, name: str, inside: np.ndarray) -> Subgroup:
    part = outcomes.take(list(range(len(outcomes.seeds))), np.flatnonzero(inside))
    classes = tuple(int((part.labels == label).sum()) for label in np.unique(outcomes.labels))
    if not classes or min(classes) < LEAST:
        return Subgroup(by, name, len(part.images), classes, (None,) * len(METRICS))
    samples = (resample(part, MEASURES[metric], draws=estimates.draws, seed=estimates.seed) for metric in METRICS)
    made = tuple(interval(sample, limits=(0.0, 1.0), seed=estimates.seed) for sample in samples)
    return Subgroup(by, name, len(part.images), classes, made)


def draw_subgroups(found: tuple[Subgroup, ...], label: str) -> Figure:
    """One line a subgroup, AUROC with its interval."""
    caption = (
        f"{label} on parts of the target, each with its 95 % interval over patients and seeds. The intervals are not corrected for their number: "
        f"a part that stands out is a question, no finding. Parts with fewer than {LEAST} images of a class have no numbers."
    )
    heads = ("part", "images", "images by class", "AUROC", "95 % interval", "balanced accuracy", "95 % interval")
    rows = tuple(
        (
            _name(one),
            str(one.images),
            ", ".join(map(str, one.classes)),
            *(text for made in one.made for text in _texts(made)),
        )
        for one in found
    )
    panel = Panel("AUROC on the target", _draw(found))
    return Figure(
        "subgroups",
        "Does it hold for every part of the target?",
        caption,
        (panel,),
        DataTable(heads, rows),
        nav="Subgroups",
    )


def _texts(made: Interval | None) -> tuple[str, str]:
    return ("too few", "") if made is None else (number(made.estimate), f"{number(made.low)} to {number(made.high)}")


def _name(one: Subgroup) -> str:
    return one.name if one.by == "all" else f"{one.by}: {one.name}"


def _draw(found: tuple[Subgroup, ...]) -> Markup:
    bounds = [value for one in found if one.made[0] for value in (one.made[0].low, one.made[0].high)] or [0.0, 1.0]
    scale = svg.Scale(*svg.nice_range(bounds, floor=0.0, ceiling=1.0), 240, WIDTH - 14)
    parts = []
    for line, one in enumerate(found):
        y, made = 16 + LINE * line, one.made[0]
        words = f"{_name(one)} ({counted(one.images, 'image')})"
        parts.append(svg.el("text", words, x=2, y=y + 4, class_="tick"))
        if made is not None:
            parts.append(svg.el("line", x1=scale(made.low), x2=scale(made.high), y1=y, y2=y, class_="whisker s0"))
            parts.append(svg.el("circle", cx=scale(made.estimate), cy=y, r=4.2, class_="dot s0"))
    y = 16 + LINE * len(found)
    for value in svg.ticks(scale.low, scale.high):
        parts.append(svg.el("text", svg.tick_text(value), x=scale(value), y=y, class_="tick", text_anchor="middle"))
    return svg.figure_svg(WIDTH, y + 10, "AUROC of each part of the target with its interval", parts)
