"""The search of `strokes` as compiled kernels: the same boxes in the same order. One thread, without the GIL."""

# y row, x column; boxes are rows of (number, top, bottom, left, right, pixels), ends excluded.

from __future__ import annotations

from typing import Any

import numpy as np

from sweep.audit import strokes as plain
from sweep.audit.strokes import Box
from sweep.core.compiled import jit

_NUMBER, _TOP, _BOTTOM, _LEFT, _RIGHT, _PIXELS = range(6)
_HEIGHTS, _WIDEST = plain.HEIGHTS, plain.WIDEST
_LETTER_HEIGHTS, _LETTER_WIDEST = plain.LETTER_HEIGHTS, 2 * plain.LETTER_HEIGHTS[1]
_FILL, _RING_PX = plain.FILL, plain.RING_PX


def letters(grey: np.ndarray, strokes: np.ndarray, level: int) -> list[Box]:
    """`strokes.letters`."""
    if int(strokes.max(initial=0)) < level:
        return []
    return [_box(row) for row in _letters(_plain_array(grey), _plain_array(strokes), level).tolist()]


def longest_line(grey: np.ndarray, level: int) -> list[Box]:
    """`strokes.longest_line`."""
    if int(grey.max(initial=0)) < level + plain.CONTRAST:
        return []
    boxes = _words_letters(_plain_array(grey), level)
    boxes = boxes[np.argsort(boxes[:, _LEFT], kind="stable")]
    return [_box(row) for row in boxes[_longest_line(boxes)].tolist()]


def _plain_array(image: np.ndarray) -> np.ndarray:
    """The image as the one kind of array that the kernels are compiled for: contiguous and writable."""
    return np.require(image, requirements=["C", "W"])


def _box(row: list[int]) -> Box:
    return slice(row[_TOP], row[_BOTTOM]), slice(row[_LEFT], row[_RIGHT])


@jit
def _root(parents: np.ndarray, number: Any) -> Any:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


@jit
def _joined(parents: np.ndarray, first: Any, second: Any) -> Any:
    a, b = _root(parents, first), _root(parents, second)
    if a < b:
        parents[b] = a
        return a
    parents[a] = b
    return b


@jit
def _numbered(values: np.ndarray, level: int) -> Any:
    """Preliminary numbers int32 [H, W] of the pixels >= level, 0 elsewhere, and which number each of them was joined to."""
    height, width = values.shape
    numbers = np.zeros((height + 1, width + 2), np.int32)  # a rim above and on both sides spares the tests for the edge
    parents = np.zeros((height // 2 + 1) * (width // 2 + 1) + 1, np.int32)
    count = 0
    for y in range(height):
        above, here = numbers[y], numbers[y + 1]
        for x in range(width):
            if values[y, x] < level:
                continue
            left, over, right = above[x], above[x + 1], above[x + 2]
            beside = here[x]
            if over:
                here[x + 1] = over
            elif right:
                other = left if left else beside
                here[x + 1] = _joined(parents, right, other) if other else right
            elif left:
                here[x + 1] = left
            elif beside:
                here[x + 1] = beside
            else:
                count += 1
                parents[count] = count
                here[x + 1] = count
    for number in range(1, count + 1):
        parents[number] = _root(parents, number)
    return numbers[1:, 1:-1], parents[: count + 1]


@jit
def _objects(numbers: np.ndarray, parents: np.ndarray, lowest: int, highest: int, widest: int) -> np.ndarray:
    """Boxes int32 [M, 6] of the objects of these heights and at most `widest`, by their first pixel in reading order."""
    height, width = numbers.shape
    boxes = np.zeros((len(parents), 6), np.int32)
    for y in range(height):
        for x in range(width):
            number = numbers[y, x]
            if number == 0:
                continue
            box = boxes[parents[number]]
            if box[_PIXELS] == 0:
                box[_TOP], box[_LEFT] = y, x
            box[_BOTTOM] = y + 1
            box[_LEFT], box[_RIGHT] = min(box[_LEFT], x), max(box[_RIGHT], x + 1)
            box[_PIXELS] += 1
    count = 0
    for number in range(1, len(boxes)):
        box = boxes[number]
        tall = box[_BOTTOM] - box[_TOP]
        if box[_PIXELS] and lowest <= tall <= highest and box[_RIGHT] - box[_LEFT] <= widest:
            box[_NUMBER] = number
            _moved(boxes, number, count)
            count += 1
    return boxes[:count]


@jit
def _moved(boxes: np.ndarray, place: Any, to: Any) -> None:
    for column in range(boxes.shape[1]):  # numba takes four seconds to compile the assignment of a whole row
        boxes[to, column] = boxes[place, column]


@jit
def _letters(grey: np.ndarray, strokes: np.ndarray, level: int) -> np.ndarray:
    numbers, parents = _numbered(strokes, level)
    boxes = _objects(numbers, parents, _LETTER_HEIGHTS[0], _LETTER_HEIGHTS[1], _LETTER_WIDEST)
    count = 0
    for place in range(len(boxes)):
        box = boxes[place]
        tall, wide = box[_BOTTOM] - box[_TOP], box[_RIGHT] - box[_LEFT]
        filled = _FILL[0] * tall * wide <= 100 * box[_PIXELS] <= _FILL[1] * tall * wide
        if 2 <= wide <= 2 * tall and filled and _stands_out(grey, numbers, parents, box):
            _moved(boxes, place, count)
            count += 1
    return boxes[:count]


@jit
def _stands_out(grey: np.ndarray, numbers: np.ndarray, parents: np.ndarray, box: np.ndarray) -> bool:
    top, bottom, left, right = box[_TOP], box[_BOTTOM], box[_LEFT], box[_RIGHT]
    tall, wide, pixels = bottom - top, right - left, box[_PIXELS]
    narrow, filled = 100 * wide <= plain.UPRIGHT_WIDTH * tall, 100 * pixels >= plain.UPRIGHT_FILL * tall * wide
    upright = tall >= plain.UPRIGHT_HEIGHT and narrow and filled
    darkest = _darker_share(grey, numbers, parents, box) - (plain.UPRIGHT if upright else plain.CLEAR)
    if darkest < 0:
        return False
    first, last = max(0, top - _RING_PX), min(grey.shape[0], bottom + _RING_PX)
    begin, end = max(0, left - _RING_PX), min(grey.shape[1], right + _RING_PX)
    ring = (last - first) * (end - begin) - tall * wide
    dark = 0
    for y in range(first, last):
        for x in range(begin, end):
            if grey[y, x] <= darkest and (y < top or y >= bottom or x < left or x >= right):
                dark += 1
    return dark > plain.RING * (ring - 1) // 100 if ring else True


@jit
def _darker_share(grey: np.ndarray, numbers: np.ndarray, parents: np.ndarray, box: np.ndarray) -> Any:
    """The grey level that STROKES percent of an object's pixels do not exceed."""
    counts = np.zeros(256, np.int32)
    for y in range(box[_TOP], box[_BOTTOM]):
        for x in range(box[_LEFT], box[_RIGHT]):
            if numbers[y, x] and parents[numbers[y, x]] == box[_NUMBER]:
                counts[grey[y, x]] += 1
    wanted, seen, level = plain.STROKES * (box[_PIXELS] - 1) // 100, counts[0], 0
    while seen <= wanted:
        level += 1
        seen += counts[level]
    return level


@jit
def _words_letters(grey: np.ndarray, level: int) -> np.ndarray:
    numbers, parents = _numbered(grey, level + 1)
    boxes = _objects(numbers, parents, _HEIGHTS[0], _HEIGHTS[1], _WIDEST)
    count = 0
    for place in range(len(boxes)):
        if _brightest(grey, boxes[place]) >= level + plain.CONTRAST:
            _moved(boxes, place, count)
            count += 1
    return boxes[:count]


@jit
def _brightest(grey: np.ndarray, box: np.ndarray) -> Any:
    """The largest grey level in a box, the object's own or another's."""
    found = 0
    for y in range(box[_TOP], box[_BOTTOM]):
        for x in range(box[_LEFT], box[_RIGHT]):
            found = max(found, grey[y, x])
    return found


@jit
def _longest_line(boxes: np.ndarray) -> np.ndarray:
    """Positions int64 [n], from left to right, of the letters of the longest line."""
    best = np.zeros(0, np.int64)
    for first in range(len(boxes)):
        line = _line(boxes, first)
        if len(line) > len(best):
            best = line
    return best


@jit
def _line(boxes: np.ndarray, first: int) -> np.ndarray:
    """Positions int64 [n] of the first letter and of those to its right that continue its line."""
    places = np.zeros(len(boxes) - first, np.int64)
    places[0], count = first, 1
    for place in range(first + 1, len(boxes)):
        last, box = boxes[places[count - 1]], boxes[place]
        size = last[_BOTTOM] - last[_TOP]
        near = 0 <= 100 * (box[_LEFT] - last[_RIGHT] + 1) <= plain.GAP * size
        level = 100 * abs(box[_BOTTOM] - last[_BOTTOM]) <= max(100, plain.SHIFTED * size)
        alike = 100 * abs((box[_BOTTOM] - box[_TOP]) - size) <= max(100, plain.UNLIKE * size)
        if near and level and alike:
            places[count] = place
            count += 1
    return places[:count]
