"""Images -> marks burned into them: letters, laterality markers and callipers. A suspicion, not a reading.

It says which images a person should look at before names leave the house or a model learns to read. Three signs count: words (four
or more small bright strokes of one height side by side), single bright letters that stand out from their surroundings, and crosses
of callipers. `benchmarks/burned_in_text.py` measures recall and false positives on images labelled by eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects, label

from sweep.shards.reader import read_batches

SUSPICIOUS = 1  # marks in an image
WORD = 4  # letters on one line
_SURROUNDINGS = (40, 200)  # brightest grey level around a letter: on black, and white letters on tissue
_CONTRAST = 40  # by which a letter's brightest pixel is above that
_HEIGHTS = (4, 20)  # of a letter of a word, in pixels of a stored image
_WIDEST = 20
_GAP = 2.5  # between letters of a word, in letter heights
_STROKES = (45, 80)  # grey levels by which a stroke exceeds its surroundings: faint and sharp letters
_TOPHAT_PX = 11  # strokes narrower than this are kept
_DOUBLINGS = (1, 2, 4, 3)  # shifts that make a window of _TOPHAT_PX from one pixel: 2, 4, 8 and 11 wide
_RING_PX = 3  # around a letter
_FILL = (0.2, 0.85)  # share of a letter's box that its strokes cover
_UPRIGHT_FILL = 0.35  # at least, of a letter that stands out less
_LETTER_HEIGHTS = (7, 22)  # of a single letter, in pixels
_CLEAR, _UPRIGHT = 100, 47  # isolation of a letter of any shape, and of one that is taller than wide
_ARM_PX, _ARM_CONTRAST, _ARM_LEVEL = 3, 45, 120  # of a calliper's cross
_COLUMNS = ("image", "height", "width")
_EIGHT = np.ones((3, 3), dtype=np.int8)

Box = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Mark:
    """Something burned in: its kind (word, letter or calliper) and its place."""

    kind: str
    box: Box


def lettering(folder: Path | str) -> np.ndarray:
    """int64 [N]: the number of marks in each image of a shard folder, in shard order."""
    found = []
    for batch in read_batches(folder, _COLUMNS):
        for image, height, width in zip(*(batch.column(name) for name in _COLUMNS), strict=True):
            grey = np.frombuffer(image.as_buffer(), dtype=np.uint8).reshape(height.as_py(), width.as_py())
            found.append(len(marks(grey)))
    return np.array(found, dtype=np.int64)


def marks(grey: np.ndarray) -> list[Mark]:
    """Words, single letters and callipers in uint8 `grey` [H, W]; a letter of a word is counted with the word alone."""
    words = [Mark("word", _around(line)) for level in _SURROUNDINGS if len(line := _longest_line(grey, level)) >= WORD]
    found = list(words)
    for kind, boxes in (("calliper", _callipers(grey)), ("letter", _letters(grey))):
        for box in boxes:
            if not any(_overlap(box, mark.box) for mark in found):
                found.append(Mark(kind, box))
    return found


def letters_on_a_line(grey: np.ndarray) -> int:
    """The largest number of letter-like marks side by side in uint8 `grey` [H, W]: how long the longest text is, 0 where there is none."""
    return max(len(_longest_line(grey, level)) for level in _SURROUNDINGS)


def _letters(grey: np.ndarray) -> list[Box]:
    """Boxes of strokes of a letter's size that are brighter than everything around them."""
    strokes = _top_hat(grey)
    found: list[Box] = []
    for level in _STROKES:
        if int(strokes.max(initial=0)) < level:
            continue
        components, boxes = _objects(strokes >= level, _LETTER_HEIGHTS, 2 * _LETTER_HEIGHTS[1])
        for number, box in boxes:
            inside = components[box] == number
            height, width = inside.shape
            filled = _FILL[0] * inside.size <= np.count_nonzero(inside) <= _FILL[1] * inside.size
            if 2 <= width <= 2 * height and filled and _stands_out(grey, box, inside):
                found.append(box)
    return found


def _objects(marked: np.ndarray, heights: tuple[int, int], widest: int) -> tuple[np.ndarray, list[tuple[int, Box]]]:
    """The 8-connected objects of bool `marked` [H, W], numbered from 1; number and box of those of these heights and at most `widest`.

    An object of height h has h pixels or more, and none has more than its box. What is left by that, a few hundred pixels, is boxed
    here: SciPy's find_objects makes a box of each of the hundreds of specks that noise consists of.
    """
    places = np.flatnonzero(marked)
    if not len(places):
        return np.zeros(marked.shape, dtype=np.int32), []
    components, _ = label(marked, _EIGHT)
    numbers = components.ravel()[places]
    sizes = np.bincount(numbers)
    possible = ((sizes >= heights[0]) & (sizes <= heights[1] * widest))[numbers]
    numbers, places = numbers[possible], places[possible]
    order = np.argsort(
        numbers, kind="stable"
    )  # keeps the places of each number in their order: rows from top to bottom
    numbers, (rows, columns) = numbers[order], np.divmod(places[order], marked.shape[1])
    first = np.flatnonzero(np.diff(numbers, prepend=0))
    if not len(first):
        return components, []
    top, bottom = rows[first], rows[np.append(first[1:], len(rows)) - 1] + 1
    left, right = np.minimum.reduceat(columns, first), np.maximum.reduceat(columns, first) + 1
    fits = (bottom - top >= heights[0]) & (bottom - top <= heights[1]) & (right - left <= widest)
    ends = (side[fits].tolist() for side in (numbers[first], top, bottom, left, right))
    return components, [(number, (slice(a, b), slice(c, d))) for number, a, b, c, d in zip(*ends, strict=True)]


def _stands_out(grey: np.ndarray, box: Box, inside: np.ndarray) -> bool:
    """Whether 80 % of the strokes are brighter than 95 % of the ring around their box, by what their shape asks for."""
    height, width = inside.shape
    upright = height >= 8 and width <= 0.9 * height and inside.mean() >= _UPRIGHT_FILL
    strokes = np.sort(grey[box][inside])
    darkest = int(strokes[int(0.8 * (len(strokes) - 1))]) - (_UPRIGHT if upright else _CLEAR)
    if darkest < 0:
        return False
    rows, columns = (slice(max(0, side.start - _RING_PX), side.stop + _RING_PX) for side in box)
    around = grey[rows, columns]
    pixels = around.size - inside.size
    dark = np.count_nonzero(around <= darkest) - np.count_nonzero(grey[box] <= darkest)
    return bool(dark > int(0.95 * (pixels - 1)) if pixels else True)


def _top_hat(grey: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: what is brighter than the opening with a square; five times as fast as SciPy's for this size."""
    return grey - _over_square(_over_square(grey, np.minimum), np.maximum)


def _over_square(image: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The minimum or maximum over a square around each pixel, from windows of doubled width along each axis; edges are repeated."""
    half, height = _TOPHAT_PX // 2, len(image)
    rows = np.empty((height + 2 * half, image.shape[1]), dtype=image.dtype)
    rows[half : half + height], rows[:half], rows[half + height :] = image, image[:1], image[-1:]
    for count in _DOUBLINGS:
        rows = extreme(rows[:-count], rows[count:])
    columns = np.empty((height, image.shape[1] + 2 * half), dtype=image.dtype)
    columns[:, half:-half], columns[:, :half], columns[:, -half:] = rows, rows[:, :1], rows[:, -1:]
    for count in _DOUBLINGS:
        columns = extreme(columns[:, :-count], columns[:, count:])
    return columns


def _callipers(grey: np.ndarray) -> list[Box]:
    """Boxes of crosses: four bright arms, and darker pixels between each two of them."""
    reach = _ARM_PX
    if min(grey.shape) <= 2 * reach:
        return []
    values = grey.astype(np.int16)

    def shifted(down: int, right: int) -> np.ndarray:
        height, width = grey.shape
        return values[reach + down : height - reach + down, reach + right : width - reach + right]

    steps = range(1, reach + 1)
    arms = np.minimum.reduce(
        [shifted(0, 0)] + [shifted(*at) for k in steps for at in ((0, k), (0, -k), (k, 0), (-k, 0))]
    )
    signs = [(down, right) for down in (-1, 1) for right in (-1, 1)]
    between = np.maximum.reduce([shifted(down * 2, right * 3) for down, right in signs]
                                + [shifted(down * 3, right * 2) for down, right in signs])  # fmt: skip
    crossed = (arms >= _ARM_LEVEL) & (arms - between >= _ARM_CONTRAST)
    if not crossed.any():
        return []
    crosses, _ = label(crossed, _EIGHT)
    return [(slice(box[0].start, box[0].stop + 2 * reach), slice(box[1].start, box[1].stop + 2 * reach))
            for box in find_objects(crosses)]  # fmt: skip


def _overlap(first: Box, second: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(first, second, strict=True))


def _around(boxes: list[Box]) -> Box:
    rows, columns = zip(*boxes, strict=True)
    return (slice(min(side.start for side in rows), max(side.stop for side in rows)),
            slice(min(side.start for side in columns), max(side.stop for side in columns)))  # fmt: skip


def _longest_line(grey: np.ndarray, level: int) -> list[Box]:
    """The longest row of letter-like marks above a grey level in surroundings below it."""
    if int(grey.max(initial=0)) < level + _CONTRAST:
        return []
    _, boxes = _objects(grey > level, _HEIGHTS, _WIDEST)
    letters = [box for _, box in boxes if int(grey[box].max()) >= level + _CONTRAST]
    letters.sort(key=lambda box: box[1].start)
    return max((_line(letters, first) for first in range(len(letters))), key=len, default=[])


def _line(letters: list[Box], first: int) -> list[Box]:
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
