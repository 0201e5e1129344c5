"""Images -> how much writing seems to be burned into them: small bright strokes of one height, side by side on a line.

A suspicion, not a reading: it says which images a person should look at before names leave the house or a model learns to read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects, label

from sweep.shards.reader import read_batches

SUSPICIOUS = 4  # letters on one line
_SURROUNDINGS = (40, 200)  # brightest grey level around a letter: on black, and white letters on tissue
_CONTRAST = 40  # by which a letter's brightest pixel is above that
_HEIGHTS = (4, 20)  # of a letter, in pixels of a stored image
_WIDEST = 20
_GAP = 2.5  # between letters of a word, in letter heights
_COLUMNS = ("image", "height", "width")
_EIGHT = np.ones((3, 3), dtype=np.int8)


def lettering(folder: Path | str) -> np.ndarray:
    """int64 [N]: the number of letter-like marks on the longest line of each image of a shard folder, in shard order."""
    found = []
    for batch in read_batches(folder, _COLUMNS):
        for image, height, width in zip(*(batch.column(name) for name in _COLUMNS), strict=True):
            grey = np.frombuffer(image.as_buffer(), dtype=np.uint8).reshape(height.as_py(), width.as_py())
            found.append(letters_on_a_line(grey))
    return np.array(found, dtype=np.int64)


def letters_on_a_line(grey: np.ndarray) -> int:
    """The largest number of letter-like marks that stand side by side in uint8 `grey` [H, W]."""
    return max(_longest_line(grey, level) for level in _SURROUNDINGS)


def _longest_line(grey: np.ndarray, level: int) -> int:
    """The same for letters above a grey level in surroundings below it."""
    marks, _ = label(grey > level, _EIGHT)
    letters = [box for box in find_objects(marks) if _is_letter(grey, box, level)]
    letters.sort(key=lambda box: box[1].start)
    return max((len(_line(letters, first)) for first in range(len(letters))), default=0)


def _is_letter(grey: np.ndarray, box: tuple[slice, slice], level: int) -> bool:
    """Whether a mark has a letter's size and contrast."""
    rows, columns = box
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if not (_HEIGHTS[0] <= height <= _HEIGHTS[1] and width <= _WIDEST):
        return False
    return int(grey[box].max()) >= level + _CONTRAST


def _line(letters: list[tuple[slice, slice]], first: int) -> list[tuple[slice, slice]]:
    """The letters to the right of the first one that continue its line."""
    line = [letters[first]]
    for box in letters[first + 1 :]:
        last = line[-1]
        size = last[0].stop - last[0].start
        near = 0 <= box[1].start - last[1].stop + 1 <= _GAP * size
        level = abs(box[0].stop - last[0].stop) <= max(1, 0.25 * size)
        alike = abs((box[0].stop - box[0].start) - size) <= max(1, 0.35 * size)
        if near and level and alike:
            line.append(box)
    return line
