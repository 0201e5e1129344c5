"""Bright strokes of an image -> boxes of letters and of lines of letters; what `burned_in_text` counts. Plain NumPy and SciPy.

`native_strokes` holds the same search as compiled kernels, several times as fast from the second image on.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

SURROUNDINGS = (40, 200)  # brightest grey level around a letter of a word: on black, and white letters on tissue
CONTRAST = 40  # by which a letter's brightest pixel is above that
HEIGHTS = (4, 20)  # of a letter of a word, in pixels of a stored image
WIDEST = 20
GAP, SHIFTED, UNLIKE = (
    250,
    25,
    35,
)  # percent of a letter's height: gap to the next one of a word, and how its foot and height may differ
RING_PX = 3  # around a single letter
FILL = (20, 85)  # percent of a letter's box that its strokes cover
UPRIGHT_FILL, UPRIGHT_WIDTH = (
    35,
    90,
)  # percent of the box at least, and of its height at most, of a letter that stands out less
LETTER_HEIGHTS = (7, 22)  # of a single letter, in pixels
CLEAR, UPRIGHT = 100, 47  # isolation of a letter of any shape, and of one that is taller than wide
UPRIGHT_HEIGHT = 8
STROKES, RING = 80, 95  # percent of the strokes that are brighter, by that, than this percentage of the ring
EIGHT = np.ones((3, 3), dtype=np.int8)

Box = tuple[slice, slice]  # rows, columns


def letters(grey: np.ndarray, strokes: np.ndarray, level: int) -> list[Box]:
    """Boxes of the objects of `strokes` >= `level`, uint8 [H, W], that have a letter's size and are brighter than everything around them."""
    if int(strokes.max(initial=0)) < level:
        return []
    components, boxes = _objects(strokes >= level, LETTER_HEIGHTS, 2 * LETTER_HEIGHTS[1])
    found = []
    for number, box in boxes:
        inside = components[box] == number
        height, width = inside.shape
        filled = FILL[0] * inside.size <= 100 * np.count_nonzero(inside) <= FILL[1] * inside.size
        if 2 <= width <= 2 * height and filled and _stands_out(grey, box, inside):
            found.append(box)
    return found


def longest_line(grey: np.ndarray, level: int) -> list[Box]:
    """The longest row of letter-like marks above a grey level in surroundings below it."""
    if int(grey.max(initial=0)) < level + CONTRAST:
        return []
    _, boxes = _objects(grey > level, HEIGHTS, WIDEST)
    found = [box for _, box in boxes if int(grey[box].max()) >= level + CONTRAST]
    found.sort(key=lambda box: box[1].start)
    return max((_line(found, first) for first in range(len(found))), key=len, default=[])


def _objects(marked: np.ndarray, heights: tuple[int, int], widest: int) -> tuple[np.ndarray, list[tuple[int, Box]]]:
    """The 8-connected objects of bool `marked` [H, W], numbered from 1; number and box of those of these heights and at most `widest`.

    An object of height h has h pixels or more, and none has more than its box. What is left by that, a few hundred pixels, is boxed
    here: SciPy's find_objects makes a box of each of the hundreds of specks that noise consists of.
    """
    places = np.flatnonzero(marked)
    if not len(places):
        return np.zeros(marked.shape, dtype=np.int32), []
    components, _ = label(marked, EIGHT)
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
    narrow, filled = 100 * width <= UPRIGHT_WIDTH * height, 100 * np.count_nonzero(inside) >= UPRIGHT_FILL * inside.size
    upright = height >= UPRIGHT_HEIGHT and narrow and filled
    strokes = np.sort(grey[box][inside])
    darkest = int(strokes[STROKES * (len(strokes) - 1) // 100]) - (UPRIGHT if upright else CLEAR)
    if darkest < 0:
        return False
    rows, columns = (slice(max(0, side.start - RING_PX), side.stop + RING_PX) for side in box)
    around = grey[rows, columns]
    pixels = around.size - inside.size
    dark = np.count_nonzero(around <= darkest) - np.count_nonzero(grey[box] <= darkest)
    return bool(dark > RING * (pixels - 1) // 100 if pixels else True)


def _line(boxes: list[Box], first: int) -> list[Box]:
    """The letters to the right of the first one that continue its line."""
    line = [boxes[first]]
    for box in boxes[first + 1 :]:
        last = line[-1]
        size = last[0].stop - last[0].start
        near = 0 <= 100 * (box[1].start - last[1].stop + 1) <= GAP * size
        level = 100 * abs(box[0].stop - last[0].stop) <= max(100, SHIFTED * size)
        alike = 100 * abs((box[0].stop - box[0].start) - size) <= max(100, UNLIKE * size)
        if near and level and alike:
            line.append(box)
    return line
