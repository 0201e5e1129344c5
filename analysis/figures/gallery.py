"""Sample images as data URIs within a budget of bytes: both domains, synthetic ones, colorized ones, attacked ones."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frames import Run

KINDS = {
    "source": ("Source hospital", "What the models were trained on."),
    "target": ("Target hospital", "Where they must work."),
    "nearest_hospital": (
        "Pseudo-hospital nearest to the target",
        "Labelled source images changed to look like the target's; beside each the image as the source shows it.",
    ),
    "farthest_hospital": (
        "Pseudo-hospital farthest from the target",
        "It counts least in the prediction; beside each image the same one as the source shows it.",
    ),
    "synthetic": (
        "Synthetic images",
        "Drawn from the generator; the nearest real training image stands beside each where it was kept.",
    ),
    "colorized": ("Colorized images", "What the backbone sees behind the colorizer."),
    "adversarial": (
        "Adversarial images",
        "The attacked image; beside it the clean one, the perturbation around mid grey, stretched, and what the colorizer makes of the image before and after.",
    ),
}
BESIDE = {
    "nearest_hospital": ("nearest_hospital_source",),
    "farthest_hospital": ("farthest_hospital_source",),
    "synthetic": ("nearest_real",),
    "adversarial": ("clean", "perturbation", "colorized_before", "colorized_after"),
}
BUDGET_BYTES = 900_000  # of PNG over the whole page; base64 adds a third
MOST_PER_KIND = 8


@dataclass(frozen=True)
class Picture:
    """One image with its words, and those that belong beside it, each with its own."""

    uri: str
    label: str
    caption: str
    beside: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Images of one kind; `left_out` of them did not fit the budget."""

    kind: str
    title: str
    caption: str
    pictures: tuple[Picture, ...]
    left_out: int


def galleries(run: Run, signatures: list[str]) -> tuple[Gallery, ...]:
    """Images of the run and of the configurations given, kinds in a fixed order, classes taking turns."""
    frames = [run.gallery().assign(origin=""), *(run.gallery(key).assign(origin=key) for key in signatures)]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return ()
    rows = pd.concat(frames, ignore_index=True)
    share = BUDGET_BYTES // max(1, rows["kind"].isin(list(KINDS)).groupby(rows["kind"]).any().sum())
    made = (_gallery(kind, rows, share) for kind in KINDS)
    return tuple(gallery for gallery in made if gallery.pictures)


def _gallery(kind: str, rows: pd.DataFrame, budget: int) -> Gallery:
    title, caption = KINDS[kind]
    own = rows[rows["kind"] == kind].drop_duplicates("png")
    own = own.assign(turn=own.groupby("label").cumcount()).sort_values(["turn", "label"], kind="stable")
    partners = {kind: _by_image(rows[rows["kind"] == kind]) for kind in BESIDE.get(kind, ())}
    pictures: list[Picture] = []
    spent = 0
    for row in own.itertuples():
        beside = [
            (name, found[row.origin, row.image_id])
            for name, found in partners.items()
            if (row.origin, row.image_id) in found
        ]
        spent += len(row.png) + sum(len(png) for _, png in beside)
        if len(pictures) == MOST_PER_KIND or spent > budget:
            break
        pictures.append(_picture(row, beside))
    return Gallery(kind, title, caption, tuple(pictures), len(own) - len(pictures))


def _by_image(rows: pd.DataFrame) -> dict[tuple[str, str], bytes]:
    """PNG by (configuration, image): two configurations attack the same image in their own ways."""
    return {(row.origin, row.image_id): row.png for row in rows.itertuples()}


def _picture(row: Any, beside: list[tuple[str, bytes]]) -> Picture:
    others = tuple((data_uri(png), name.replace("_", " ")) for name, png in beside)
    return Picture(data_uri(row.png), row.label, row.caption or row.image_id, others)


def data_uri(png: bytes) -> str:
    """PNG bytes as the source of an <img>."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
