"""Images -> marks burned into them: letters, laterality markers and callipers. A suspicion, not a reading.

It says which images a person should look at before names leave the house or a model learns to read. Three signs count: words (four
or more small bright strokes of one height side by side), single bright letters that stand out from their surroundings, and crosses
of callipers. `benchmarks/burned_in_text.py` measures recall and false positives on images labelled by eye.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects, label

from sweep.audit import strokes
from sweep.audit.strokes import SURROUNDINGS, Box
from sweep.core.compiled import importable
from sweep.shards.reader import read_batches, read_manifest

SUSPICIOUS = 1  # marks in an image
WORD = 4  # letters on one line
_STROKES = (45, 80)  # grey levels by which a stroke exceeds its surroundings: faint and sharp letters
_TOPHAT_PX = 11  # strokes narrower than this are kept
_DOUBLINGS = (1, 2, 4, 3)  # shifts that make a window of _TOPHAT_PX from one pixel: 2, 4, 8 and 11 wide
_ARM_PX, _ARM_CONTRAST, _ARM_LEVEL = 3, 45, 120  # of a calliper's cross
_ARM_DOUBLINGS = (1, 2, 3)  # the same for the 2 _ARM_PX + 1 pixels of two arms and their middle
_MANY = (
    1000  # images from which compiling the search, five seconds at the first use, takes little more time than it spares
)
_COLUMNS = ("image", "height", "width")


@dataclass(frozen=True)
class Mark:
    """Something burned in: its kind (word, letter or calliper) and its place."""

    kind: str
    box: Box


@dataclass(frozen=True)
class Search:
    """How letters and lines of letters are looked for: `strokes.letters` and `strokes.longest_line`, or their compiled equals."""

    letters: Callable[[np.ndarray, np.ndarray, int], list[Box]]
    longest_line: Callable[[np.ndarray, int], list[Box]]


PLAIN = Search(strokes.letters, strokes.longest_line)


def lettering(folder: Path | str) -> np.ndarray:
    """int64 [N]: the number of marks in each image of a shard folder, in shard order."""
    search = compiled() if read_manifest(folder).images >= _MANY else PLAIN
    found = []
    for batch in read_batches(folder, _COLUMNS):
        for image, height, width in zip(*(batch.column(name) for name in _COLUMNS), strict=True):
            grey = np.frombuffer(image.as_buffer(), dtype=np.uint8).reshape(height.as_py(), width.as_py())
            found.append(len(marks(grey, search)))
    return np.array(found, dtype=np.int64)


@cache
def compiled() -> Search:
    """The compiled search, or the plain one where numba does not work (a warning says so)."""
    if not importable("numba", "the audit looks for burned-in marks in plain Python, several times slower"):
        return PLAIN
    from sweep.audit import native_strokes  # here: numba is loaded where it is used

    return Search(native_strokes.letters, native_strokes.longest_line)


def marks(grey: np.ndarray, search: Search = PLAIN) -> list[Mark]:
    """Words, single letters and callipers in uint8 `grey` [H, W]; a letter of a word is counted with the word alone."""
    lines = [search.longest_line(grey, level) for level in SURROUNDINGS]
    found = [Mark("word", _around(line)) for line in lines if len(line) >= WORD]
    for kind, boxes in (("calliper", _callipers(grey)), ("letter", _letters(grey, search))):
        for box in boxes:
            if not any(_overlap(box, mark.box) for mark in found):
                found.append(Mark(kind, box))
    return found


def letters_on_a_line(grey: np.ndarray) -> int:
    """The largest number of letter-like marks side by side in uint8 `grey` [H, W]: how long the longest text is, 0 where there is none."""
    return max(len(PLAIN.longest_line(grey, level)) for level in SURROUNDINGS)


def _letters(grey: np.ndarray, search: Search) -> list[Box]:
    """Boxes of strokes of a letter's size that are brighter than everything around them."""
    top = _top_hat(grey)
    return [box for level in _STROKES for box in search.letters(grey, top, level)]


def _top_hat(grey: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: what is brighter than the opening with a square; five times as fast as SciPy's for this size."""
    return grey - _over_square(_over_square(grey, np.minimum), np.maximum)


def _over_square(image: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The minimum or maximum over a square around each pixel; edges are repeated."""
    half, height = _TOPHAT_PX // 2, len(image)
    rows = np.empty((height + 2 * half, image.shape[1]), dtype=image.dtype)
    rows[half : half + height], rows[:half], rows[half + height :] = image, image[:1], image[-1:]
    rows = _over_rows(rows, extreme, _DOUBLINGS)
    columns = np.empty((height, image.shape[1] + 2 * half), dtype=image.dtype)
    columns[:, half:-half], columns[:, :half], columns[:, -half:] = rows, rows[:, :1], rows[:, -1:]
    return _over_columns(columns, extreme, _DOUBLINGS)


def _over_rows(image: np.ndarray, extreme: np.ufunc, doublings: tuple[int, ...]) -> np.ndarray:
    """The minimum or maximum over each row and the next ones, as many as 1 plus the sum of `doublings`."""
    for count in doublings:
        image = extreme(image[:-count], image[count:])
    return image


def _over_columns(image: np.ndarray, extreme: np.ufunc, doublings: tuple[int, ...]) -> np.ndarray:
    """The same over each column and the next ones."""
    for count in doublings:
        image = extreme(image[:, :-count], image[:, count:])
    return image


def _callipers(grey: np.ndarray) -> list[Box]:
    """Boxes of crosses: four bright arms, and darker pixels between each two of them."""
    reach = _ARM_PX
    if min(grey.shape) <= 2 * reach:
        return []
    arms = np.minimum(
        _over_rows(grey[:, reach:-reach], np.minimum, _ARM_DOUBLINGS),
        _over_columns(grey[reach:-reach], np.minimum, _ARM_DOUBLINGS),
    )
    if int(arms.max()) < _ARM_LEVEL:
        return []

    def shifted(down: int, right: int) -> np.ndarray:
        height, width = grey.shape
        return grey[reach + down : height - reach + down, reach + right : width - reach + right]

    signs = list(itertools.product((-1, 1), repeat=2))
    between = np.maximum.reduce([shifted(down * 2, right * 3) for down, right in signs]
                                + [shifted(down * 3, right * 2) for down, right in signs])  # fmt: skip
    crossed = (arms >= _ARM_LEVEL) & (arms - np.minimum(arms, between) >= _ARM_CONTRAST)
    if not crossed.any():
        return []
    crosses, _ = label(crossed, strokes.EIGHT)
    return [(slice(box[0].start, box[0].stop + 2 * reach), slice(box[1].start, box[1].stop + 2 * reach))
            for box in find_objects(crosses)]  # fmt: skip


def _overlap(first: Box, second: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(first, second, strict=True))


def _around(boxes: list[Box]) -> Box:
    rows, columns = zip(*boxes, strict=True)
    return (slice(min(side.start for side in rows), max(side.stop for side in rows)),
            slice(min(side.start for side in columns), max(side.stop for side in columns)))  # fmt: skip
