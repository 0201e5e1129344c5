"""A shard folder -> the same one with the marks that are burned into its images filled in from their surroundings.

The marks are those that `burned_in_text.marks` finds. Filling is biharmonic (scikit-image), in a window around each mark, so that
everything else stays as it was bit for bit. Images keep their ids, labels and patients; the manifest says how many were changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage.restoration import inpaint_biharmonic

from sweep.audit.burned_in_text import Box, Mark, marks
from sweep.shards.reader import read_batches, read_manifest
from sweep.shards.schema import Header, Manifest, ShardRow, schema_of
from sweep.shards.writer import write_dataset

_MARGIN_PX = 3  # filled around a mark: the dark or blurred rim of letters goes with them
_AS_BRIGHT = 0.85  # of a mark's own brightness
_ROUNDS = 4  # of looking and filling
_WINDOW_PX = 8  # of tissue around it that the filling continues


def inpaint_folder(src: Path | str, dst: Path | str) -> Manifest:
    """Write the images of shard folder `src`, their marks filled in, as the new shard folder `dst`.

    settings["inpainted"] of the manifest holds the counts of images and marks. Raises InputError when `src` is damaged, or `dst` is not
    empty or cannot be written.
    """
    manifest = read_manifest(src)
    counts = {"images": 0, "marks": 0}
    settings = {**manifest.settings, "inpainted": counts}
    fields = {field.name: getattr(manifest, field.name) for field in dataclasses.fields(Header)}
    return write_dataset(dst, Header(**{**fields, "settings": settings}), _rows(src, manifest, counts))


def inpainted(grey: np.ndarray) -> tuple[np.ndarray, int]:
    """uint8 `grey` [H, W] without its marks, and their number; the array itself where there are none.

    Marks are looked for again after each filling: the longest run of a line of text hides what is left and right of it.
    """
    filled, found = grey, 0
    for _ in range(_ROUNDS):
        boxes = [_grown(_whole_line(filled, mark), _MARGIN_PX, grey.shape) for mark in marks(filled)]
        if not boxes:
            break
        filled, found = _filled(filled, boxes), found + len(boxes)
    return filled, found


def _whole_line(grey: np.ndarray, mark: Mark) -> Box:
    """The box of a mark, and of what stands beside a letter or word and is as bright: letters that touch are found as none."""
    rows, columns = mark.box
    if mark.kind == "calliper":
        return mark.box
    level = _AS_BRIGHT * float(np.quantile(grey[mark.box], 0.95))
    bright = np.flatnonzero((grey[rows] >= level).any(axis=0))
    gap = rows.stop - rows.start
    start, stop = columns.start, columns.stop
    for column in bright[bright < start][::-1]:
        if start - column > gap:
            break
        start = int(column)
    for column in bright[bright >= stop]:
        if column - stop >= gap:
            break
        stop = int(column) + 1
    return rows, slice(start, stop)


def _filled(grey: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    covered = np.zeros(grey.shape, dtype=bool)
    for box in boxes:
        covered[box] = True
    filled = grey.copy()
    for box in boxes:
        window = _grown(box, _WINDOW_PX, grey.shape)
        if covered[window].all():  # a small image that is all marks: there is nothing to continue
            filled[window] = 0
            continue
        smooth = inpaint_biharmonic(filled[window].astype(np.float64) / 255, covered[window])
        filled[box] = np.rint(np.clip(smooth, 0, 1) * 255).astype(np.uint8)[_inside(box, window)]
        covered[box] = False
    return filled


def _rows(src: Path | str, manifest: Manifest, counts: dict[str, int]) -> Iterator[ShardRow]:
    for batch in read_batches(src, schema_of(manifest.task).names):
        for row in batch.to_pylist():
            grey = np.frombuffer(row["image"], dtype=np.uint8).reshape(row["height"], row["width"])
            filled, found = inpainted(grey)
            counts["marks"] += found
            counts["images"] += found > 0
            kept: dict[str, Any] = {
                field.name: row[field.name] for field in dataclasses.fields(ShardRow) if field.name in row
            }
            yield ShardRow(**{**kept, "image": filled, "labels": tuple(kept.get("labels") or ())})


def _grown(box: Box, by: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (
        slice(max(0, side.start - by), min(size, side.stop + by)) for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def _inside(box: Box, window: Box) -> Box:
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, window, strict=True))
    return rows, columns
