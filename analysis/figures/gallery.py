"""Sample images as data URIs within a budget of bytes: both domains, synthetic ones, colorized ones, attacked ones."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pandas as pd

KINDS = {
    "source": ("Source hospital", "What the models were trained on."),
    "target": ("Target hospital", "Where they must work."),
    "synthetic": ("Synthetic images", "Drawn from the generator; the nearest real training image stands beside each where it was kept."),
    "colorized": ("Colorized images", "What the backbone sees behind the colorizer."),
    "adversarial": ("Adversarial images", "The attacked image, and the perturbation around mid grey, stretched."),
}
BESIDE = {"synthetic": "nearest_real", "adversarial": "perturbation"}
BUDGET_BYTES = 900_000   # of PNG over the whole page; base64 adds a third
MOST_PER_KIND = 8


@dataclass(frozen=True)
class Picture:
    """One image with its words, and perhaps the one that belongs beside it."""

    uri: str
    label: str
    caption: str
    beside: str | None = None
    beside_caption: str = ""


@dataclass(frozen=True)
class Gallery:
    """Images of one kind; `left_out` of them did not fit the budget."""

    kind: str
    title: str
    caption: str
    pictures: tuple[Picture, ...]
    left_out: int


def galleries(run, signatures: list[str]) -> tuple[Gallery, ...]:
    """Images of the run and of the configurations given, kinds in a fixed order, classes taking turns."""
    frames = [run.gallery(), *(run.gallery(key) for key in signatures)]
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
    beside = rows[rows["kind"] == BESIDE.get(kind)].drop_duplicates("image_id").set_index("image_id")
    pictures, spent = [], 0
    for row in own.itertuples():
        partner = beside.loc[row.image_id] if row.image_id in beside.index else None
        spent += len(row.png) + (len(partner["png"]) if partner is not None else 0)
        if len(pictures) == MOST_PER_KIND or spent > budget:
            break
        pictures.append(_picture(row, partner))
    return Gallery(kind, title, caption, tuple(pictures), len(own) - len(pictures))


def _picture(row, partner) -> Picture:
    words = row.caption or row.image_id
    if partner is None:
        return Picture(data_uri(row.png), row.label, words)
    return Picture(data_uri(row.png), row.label, words, data_uri(partner["png"]), partner["caption"] or partner["kind"].replace("_", " "))


def data_uri(png: bytes) -> str:
    """PNG bytes as the source of an <img>."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
