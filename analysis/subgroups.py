"""The recommended configuration on parts of the target: by scanner, by the image properties in which the domains differ most, by a given table.

Lesion size, age or anything else that is no part of a data set comes from `subgroups.csv` in the run folder: a column image_id and one column
for each division.
"""

from __future__ import annotations

import io
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
from sweep.core.errors import InputError
from sweep.core.storage import Storage

LEAST = 10  # images of each class below which a subgroup has no numbers
PROPERTIES = 2  # whose thirds are shown
METRICS = ("auroc", "balanced_accuracy")
SUBGROUPS_FILE = "subgroups.csv"
MOST_VALUES = 8  # of a division in words; more numbers than that are divided into thirds
Part = tuple[str, str, np.ndarray]  # what divides, the part's name, bool [images]
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
    if outcomes is None or outcomes.multi_label:
        return ()
    parts: list[Part] = []
    if len(table):
        rows = table[table["role"] == "target"].drop_duplicates("image_id").set_index("image_id")
        parts += _parts(rows.reindex(outcomes.images), table)
    parts += _given_parts(estimates.run.storage, outcomes.images)
    if not parts:
        return ()
    everything = ("all", "all target images", np.ones(len(outcomes.images), dtype=bool))
    return tuple(_subgroup(estimates, outcomes, *part) for part in (everything, *parts))


def _parts(rows: pd.DataFrame, table: pd.DataFrame) -> Iterator[Part]:
    scanners = rows["scanner"].fillna("").astype(str)
    if scanners.nunique() > 1:
        for name in sorted(set(scanners)):
            yield "scanner", name or "not known", (scanners == name).to_numpy()
    for drift in drifts(table)[:PROPERTIES]:
        yield from _thirds(TITLES[drift.name], rows[drift.name].to_numpy(float))


def _thirds(title: str, values: np.ndarray) -> Iterator[Part]:
    known = ~np.isnan(values)
    if len(np.unique(values[known])) < 3:
        return
    edges = np.quantile(values[known], (1 / 3, 2 / 3))
    third = np.where(known, np.searchsorted(edges, values, side="right"), -1)
    for place, words in enumerate(("lowest third", "middle third", "highest third")):
        yield title, words, third == place
    if not known.all():
        yield title, "not known", ~known


def _given_parts(storage: Storage, images: np.ndarray) -> Iterator[Part]:
    """The divisions of `subgroups.csv`: thirds of numbers, values of words. InputError where the table does not fit the run."""
    if not storage.exists(SUBGROUPS_FILE):
        return
    where = storage.address(SUBGROUPS_FILE)
    try:
        table = pd.read_csv(io.BytesIO(storage.read(SUBGROUPS_FILE)), dtype={"image_id": str})
    except (ValueError, UnicodeDecodeError) as broken:
        raise InputError(
            where, f"is no table of comma-separated values ({broken})", "write it anew or remove it"
        ) from None
    if "image_id" not in table:
        raise InputError(
            where, f"has the columns {', '.join(table)} and no image_id", "add a column with the ids of images"
        )
    if twice := sorted(table.loc[table["image_id"].duplicated(), "image_id"])[:1]:
        raise InputError(where, f"holds {twice[0]} twice", "keep one row an image")
    rows = table.set_index("image_id").reindex(pd.Index(images))
    if rows.isna().all(axis=None):
        raise InputError(where, f"holds none of the {len(images)} target images", f"use ids such as {images[0]}")
    for name in rows:
        if pd.api.types.is_numeric_dtype(rows[name]) and rows[name].nunique() > MOST_VALUES:
            yield from _thirds(str(name), rows[name].to_numpy(float))
            continue
        values = rows[name].map(_value_text)
        if not 1 < values.nunique() <= MOST_VALUES:
            raise InputError(
                where, f"{name} has {values.nunique()} values", f"give 2 to {MOST_VALUES} values, or numbers"
            )
        for value in sorted(values.unique()):
            yield str(name), value, (values == value).to_numpy()


def _value_text(value: object) -> str:
    return "not known" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


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
