"""Compiled CPU kernels of the exact counts, in separate modules so that numba is imported at first use only.

One thread, without the GIL. Machine code is kept in numba's cache where its folder can be written.
"""

# n image, k offset, y row, x column, i and j grey levels of a pair.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sweep.core.compiled import jit
from sweep.losses.glcm.offsets import Offset

f32 = np.float32


def hard_counts(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Counts int32 [N, K, L, L] of uint8 [N, H, W]; values must be below `levels`."""
    counts = torch.zeros(len(images), len(offsets), levels, levels, dtype=torch.int32)
    _count(as_array(images), pair_spans(size_of(images), offsets), levels, counts.numpy())
    return counts


def hard_sums(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """The nine sums of properties.SUMS, float64 [N, K, 9], of uint8 [N, H, W]; values must be below `levels`."""
    sums = torch.empty(len(images), len(offsets), 9, dtype=torch.float64)
    _sum(as_array(images), pair_spans(size_of(images), offsets), levels, sums.numpy())
    return sums


def as_array(images: Tensor) -> np.ndarray:
    """The values of a CPU tensor, contiguous; a view where it already is."""
    return images.detach().contiguous().numpy()


def size_of(images: Tensor) -> tuple[int, int]:
    """Rows and columns of images [N, H, W]."""
    return images.shape[1], images.shape[2]


def pair_spans(size: tuple[int, int], offsets: Sequence[Offset]) -> np.ndarray:
    """Per offset: first and end row, first and end column of the first pixel, then the step to the second: [K, 6]."""
    height, width = size
    rows = [(max(0, -dy), height - max(0, dy), max(0, -dx), width - max(0, dx), dy, dx) for dy, dx in offsets]
    return np.array(rows, dtype=np.int64).reshape(-1, 6)


@jit
def _count_image(image: np.ndarray, span: np.ndarray, levels: int, table: np.ndarray) -> None:
    x0, width, dy, dx = span[2], span[3] - span[2], span[4], span[5]
    for y in range(span[0], span[1]):
        here, there = image[y, x0:], image[y + dy, x0 + dx :]
        for x in range(width):
            # Unsigned, so that no test for negative indices is compiled in.
            table[np.uint64(here[x]) * np.uint64(levels) + np.uint64(there[x])] += 1


@jit
def _count(images: np.ndarray, spans: np.ndarray, levels: int, counts: np.ndarray) -> None:
    for n in range(images.shape[0]):
        for k in range(spans.shape[0]):
            _count_image(images[n], spans[k], levels, counts[n, k].reshape(levels * levels))


@jit
def _sum(images: np.ndarray, spans: np.ndarray, levels: int, sums: np.ndarray) -> None:
    table = np.zeros(levels * levels, np.int32)
    for n in range(images.shape[0]):
        for k in range(spans.shape[0]):
            sums[n, k, 0] = _sum_of_squares(images[n], spans[k], levels, table)
            _add_pairs(images[n], spans[k], sums[n, k])


@jit
def _sum_of_squares(image: np.ndarray, span: np.ndarray, levels: int, table: np.ndarray) -> Any:
    x0, width, dy, dx = span[2], span[3] - span[2], span[4], span[5]
    squares: Any = 0
    table[:] = 0
    if len(table) < (span[1] - span[0]) * width:  # fewer cells than pairs: square at the end
        _count_image(image, span, levels, table)
        for place in range(len(table)):
            squares += np.int64(table[place]) * np.int64(table[place])
        return squares
    for y in range(span[0], span[1]):
        here, there = image[y, x0:], image[y + dy, x0 + dx :]
        for x in range(width):
            cell: Any = np.uint64(here[x]) * np.uint64(levels) + np.uint64(there[x])
            seen: Any = table[cell]
            squares += 2 * seen + 1  # (seen + 1)^2 - seen^2
            table[cell] = seen + 1
    return squares


@jit
def _add_pairs(image: np.ndarray, span: np.ndarray, sums: np.ndarray) -> None:
    # A separate loop without look-ups is vectorised; 32 bits hold the sums of one row.
    x0, width, dy, dx = span[2], max(0, span[3] - span[2]), span[4], span[5]
    sums[1:] = 0
    sums[1] = max(0, span[1] - span[0]) * width
    for y in range(span[0], span[1]):
        here, there = image[y, x0:], image[y + dy, x0 + dx :]
        zero = np.int32(0)
        i1, j1, i2, j2, gap1, gap2, close = zero, zero, zero, zero, zero, zero, f32(0)
        for x in range(width):
            i, j = np.int32(here[x]), np.int32(there[x])
            gap = i - j
            i1, j1, i2, j2 = i1 + i, j1 + j, i2 + i * i, j2 + j * j
            gap1, gap2 = gap1 + abs(gap), gap2 + gap * gap
            close += f32(1) / (f32(1) + f32(gap * gap))
        sums[2] += gap2
        sums[3] += gap1
        sums[4] += close
        sums[5] += i1
        sums[6] += j1
        sums[7] += i2
        sums[8] += j2
