"""Slices without case numbers -> groups that belong together: published ranges of file numbers, or runs of similar neighbours.

Archives of CT and MR slices often number the files through all cases. Neighbours in that order that look alike are slices of one
case; where the picture changes abruptly, another case begins. The groups keep near slices out of different folds. They are no
patients: two runs may show one person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.decode import read_grey
from sweep.importers.raw import Ignored, RawImage
from sweep.importers.walk import is_file

SIMILAR = 0.7  # correlation of neighbouring slices: above it, a model that saw the one knows the other
_THUMBNAIL_PX = 32
_NUMBER = re.compile(r"(\d+)\D*$")
_RANGE = re.compile(r"(.+?)\s+(\d+)\s*-\s*(\d+)")
HELP = (
    "How slices are grouped: similar (runs of neighbouring file numbers that look alike), none, or a text file with one case "
    "per line: LABEL FIRST-LAST, by file number."
)


def with_cases(images: Iterable[RawImage | Ignored], cases: str) -> Iterator[RawImage | Ignored]:
    """The images with groups as their patients: `cases` is none, similar, or the path of a file of ranges (see HELP).

    Raises InputError when the file is wrong, or when an image lies in no range.
    """
    if cases == "none":
        yield from images
        return
    given = list(images)
    slices = [image for image in given if isinstance(image, RawImage) and image.path is not None]
    groups = _runs(slices) if cases == "similar" else _ranges(slices, Path(cases))
    for image in given:
        group = groups.get(image.image_id, "") if isinstance(image, RawImage) else ""
        yield replace(image, patient=group) if isinstance(image, RawImage) and group else image


def _runs(slices: Sequence[RawImage]) -> dict[str, str]:
    """Group of every image id: a new run begins with another class, a gap in the numbers, or another picture."""
    found: dict[str, str] = {}
    before: tuple[str, int, np.ndarray] | None = None
    group = ""
    for image in sorted(slices, key=lambda image: (image.label, _number(image))):
        number, thumbnail = _number(image), _thumbnail(image)
        joins = before is not None and (image.label, number) == (before[0], before[1] + 1)
        if not (joins and before is not None and float((thumbnail * before[2]).sum()) >= SIMILAR):
            group = f"{image.label} slices from {number}"
        found[image.image_id] = group
        before = (image.label, number, thumbnail)
    return found


def _thumbnail(image: RawImage) -> np.ndarray:
    """float32 [32, 32], mean 0 and norm 1; zeros, alike to nothing, where the file cannot be read (the import says so)."""
    try:
        grey = read_grey(Path(str(image.path))).grey
    except InputError:
        return np.zeros((_THUMBNAIL_PX, _THUMBNAIL_PX), dtype=np.float32)
    small = np.asarray(Image.fromarray(grey).resize((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BOX), np.float32)
    small = small - small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def _ranges(slices: Sequence[RawImage], path: Path) -> dict[str, str]:
    ranges = _read_ranges(path)
    found: dict[str, str] = {}
    for image in slices:
        number = _number(image)
        mine = [place for place, (first, last) in enumerate(ranges.get(image.label, [])) if first <= number <= last]
        if len(mine) != 1:
            problem = f"{image.label} {number} lies in {'no range' if not mine else f'{len(mine)} ranges'}"
            raise InputError(path, problem, "write each file number into one range of its label")
        first, last = ranges[image.label][mine[0]]
        found[image.image_id] = f"{image.label} {first}-{last}"
    return found


def _read_ranges(path: Path) -> Mapping[str, list[tuple[int, int]]]:
    if not is_file(path):
        raise InputError(f"cases (--cases): {path}", "there is no such file", "write similar, none or a file of ranges")
    ranges: dict[str, list[tuple[int, int]]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as wrong:
        raise InputError(path, f"not UTF-8 text (byte {wrong.start})", "save it as UTF-8") from None
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = _RANGE.fullmatch(line.strip())
        if parts is None or int(parts[2]) > int(parts[3]):
            raise InputError(f"{path}, line {row}", f"{line.strip()!r} is no range", "write LABEL FIRST-LAST")
        ranges.setdefault(parts[1], []).append((int(parts[2]), int(parts[3])))
    return ranges


def _number(image: RawImage) -> int:
    """The last number in the file's name, 0 where it has none."""
    found = _NUMBER.search(Path(str(image.path)).stem)
    return int(found[1]) if found else 0
