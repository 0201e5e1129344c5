"""The search of `strokes` as compiled kernels: the same boxes in the same order. One thread, without the GIL."""

# A run is a row of neighbouring pixels that are bright enough: (row, first column, column after the last, object).
# Boxes are rows of (object, top, bottom, left, right, pixels), ends excluded. y row, x column.

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
def _runs(values: np.ndarray, level: int) -> Any:
    """The runs int32 [R, 4] of uint8 `values` [H, W] >= level, in reading order, and where each row's begin, int32 [H + 1].

    Runs of two rows that touch, diagonally too, are of one object; it has the number of its first run.
    """
    height, width = values.shape
    runs = np.empty((height * ((width + 1) // 2) + 1, 4), np.int32)
    begins = np.zeros(height + 1, np.int32)
    parents = np.empty(len(runs), np.int32)
    count, above = 0, 0
    for y in range(height):
        row, x, begin = values[y], 0, count
        begins[y] = count
        over = above
        while x < width:
            if row[x] < level:
                x += 1
                continue
            first = x
            while x < width and row[x] >= level:
                x += 1
            runs[count, 0], runs[count, 1], runs[count, 2] = y, first, x
            parents[count] = count
            while over < begin and runs[over, 2] < first:
                over += 1
            touching = over
            while touching < begin and runs[touching, 1] <= x:
                a, b = _root(parents, touching), _root(parents, count)
                parents[max(a, b)] = min(a, b)
                touching += 1
            count += 1
        above = begin
    begins[height] = count
    for run in range(count):
        runs[run, 3] = _root(parents, run)
    return runs[:count], begins


@jit
def _objects(runs: np.ndarray, lowest: int, highest: int, widest: int) -> np.ndarray:
    """Boxes int32 [M, 6] of the objects of these heights and at most `widest`, by their first pixel in reading order."""
    boxes = np.zeros((len(runs), 6), np.int32)
    for run in range(len(runs)):
        y, first, end = runs[run, 0], runs[run, 1], runs[run, 2]
        box = boxes[runs[run, 3]]
        if box[_PIXELS] == 0:
            box[_TOP], box[_LEFT] = y, first
        box[_BOTTOM] = y + 1
        box[_LEFT], box[_RIGHT] = min(box[_LEFT], first), max(box[_RIGHT], end)
        box[_PIXELS] += end - first
    count = 0
    for number in range(len(boxes)):
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
    runs, begins = _runs(strokes, level)
    boxes = _objects(runs, _LETTER_HEIGHTS[0], _LETTER_HEIGHTS[1], _LETTER_WIDEST)
    count = 0
    for place in range(len(boxes)):
        box = boxes[place]
        tall, wide = box[_BOTTOM] - box[_TOP], box[_RIGHT] - box[_LEFT]
        filled = _FILL[0] * tall * wide <= 100 * box[_PIXELS] <= _FILL[1] * tall * wide
        if 2 <= wide <= 2 * tall and filled and _stands_out(grey, runs, begins, box):
            _moved(boxes, place, count)
            count += 1
    return boxes[:count]


@jit
def _stands_out(grey: np.ndarray, runs: np.ndarray, begins: np.ndarray, box: np.ndarray) -> bool:
    top, bottom, left, right = box[_TOP], box[_BOTTOM], box[_LEFT], box[_RIGHT]
    tall, wide, pixels = bottom - top, right - left, box[_PIXELS]
    narrow, filled = 100 * wide <= plain.UPRIGHT_WIDTH * tall, 100 * pixels >= plain.UPRIGHT_FILL * tall * wide
    upright = tall >= plain.UPRIGHT_HEIGHT and narrow and filled
    darkest = _darker_share(grey, runs, begins, box) - (plain.UPRIGHT if upright else plain.CLEAR)
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
def _darker_share(grey: np.ndarray, runs: np.ndarray, begins: np.ndarray, box: np.ndarray) -> Any:
    """The grey level that STROKES percent of an object's pixels do not exceed."""
    counts = np.zeros(256, np.int32)
    for run in range(begins[box[_TOP]], begins[box[_BOTTOM]]):
        if runs[run, 3] == box[_NUMBER]:
            for x in range(runs[run, 1], runs[run, 2]):
                counts[grey[runs[run, 0], x]] += 1
    wanted, seen, level = plain.STROKES * (box[_PIXELS] - 1) // 100, counts[0], 0
    while seen <= wanted:
        level += 1
        seen += counts[level]
    return level


@jit
def _words_letters(grey: np.ndarray, level: int) -> np.ndarray:
    runs, _ = _runs(grey, level + 1)
    boxes = _objects(runs, _HEIGHTS[0], _HEIGHTS[1], _WIDEST)
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
