"""Whole frame -> the lesion: cropped to its box, or with everything outside of its outline black."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError
from sweep.importers.decode import decode, read_grey

ROIS = ("none", "box", "mask")
NO_LESION = "normal scans, which have no lesion to crop to"
_MARGIN = 0.1  # of the box's longer side, kept around it: margins and shadows are part of the diagnosis


def masks_beside(path: Path, pattern: str) -> tuple[Path, ...]:
    """The mask files of an image: those in its folder whose names match `pattern` ({stem} stands for the image's)."""
    return tuple(sorted(path.parent.glob(pattern.format(stem=_literal(path.stem)))))


def crop_to_lesion(grey: np.ndarray, masks: Sequence[Path], roi: str, where: Path) -> np.ndarray:
    """uint8 [h, w]: the box around the union of `masks` with a margin; with roi `mask`, black outside of them.

    `where` is the image's path. Raises InputError when it has no mask, or when a mask is unreadable, of another
    size than the image, or empty.
    """
    inside = lesion(masks, grey.shape, where)
    rows, columns = (_span(np.any(inside, axis=axis)) for axis in (1, 0))
    margin = round(_MARGIN * max(rows[1] - rows[0], columns[1] - columns[0]))
    window = tuple(slice(max(0, first - margin), last + margin) for first, last in (rows, columns))
    return np.where(inside, grey, 0)[window] if roi == "mask" else grey[window]


def lesion(masks: Sequence[Path], shape: tuple[int, ...], where: Path) -> np.ndarray:
    """bool [h, w]: the union of the masks of an image of this shape, whose path is `where`. Raises InputError as `crop_to_lesion`."""
    if not masks:
        raise InputError(where, "no mask beside it", "restore the masks from the archive, or import with roi none")
    inside = np.zeros(shape, dtype=bool)
    for path in masks:
        mask = decode(path, read_grey).grey
        if mask.shape != shape:
            raise InputError(
                path,
                f"a mask of {mask.shape[1]} x {mask.shape[0]} pixels for an image of {shape[1]} x {shape[0]}",
                "restore it from the archive",
            )
        inside |= mask > (127 if mask.max() > 1 else 0)  # some masks count 0 and 1 instead of 0 and 255
    if not inside.any():
        raise InputError(masks[0], "the mask marks nothing", "restore it, or import with roi none")
    return inside


def _span(marked: Any) -> tuple[int, int]:
    found = np.flatnonzero(marked)
    return int(found[0]), int(found[-1]) + 1


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
