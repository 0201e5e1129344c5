"""Compiled statistics of many small windows' soft matrices, and their gradient, without keeping a matrix.

Of a soft matrix only the angular second moment needs the matrix. All else is a mean over pixel pairs, in closed form, because a
triangular bin keeps the value (the sum of i w_i(x) is x) and adds f(1-f) to its square; such sums are vector code.
"""

# n image, t window, m window of all, k offset, p pixel of a window row after row; i and j: grey levels of a pair; f and g: how far they lie above their lower level.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sweep.core.compiled import jit
from sweep.losses.glcm.native import as_array, pair_spans, size_of
from sweep.losses.glcm.native_soft import stop_outside
from sweep.losses.glcm.offsets import Offset
from sweep.losses.glcm.tiles import Size, Tiles


def tile_statistics(tiles: Tiles, offsets: Sequence[Offset]) -> Tensor:
    """As `soft_statistics`, of all windows of finite images, without copying them: [N * T, K, 7]; no gradient."""
    return _statistics(tiles.images, tiles.low_N, tiles.factor_N, tiles.size, tiles.levels, offsets)


def soft_statistics(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Per soft matrix of finite float [N, H, W] in level units, divided by its total: [N, K, 7] in the order of properties.MOMENTS.

    Differentiable once.
    """
    return _Statistics.apply(images, levels, tuple(offsets))


class _Statistics(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, levels: int, offsets: tuple[Offset, ...]) -> Tensor:
        ctx.save_for_backward(images)
        ctx.settings = levels, offsets
        as_they_are = images.new_zeros(len(images)), images.new_ones(len(images))
        return _statistics(images, *as_they_are, size_of(images), levels, offsets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (images,), (levels, offsets) = ctx.saved_tensors, ctx.settings
        out = torch.zeros_like(images, memory_format=torch.contiguous_format)
        _backward(as_array(images), pair_spans(size_of(images), offsets), levels, as_array(grad.double()), out.numpy())
        return out, None, None


def _statistics(
    images: Tensor, low_N: Tensor, factor_N: Tensor, size: Size, levels: int, offsets: Sequence[Offset]
) -> Tensor:
    spans = pair_spans(size, offsets)
    windows = len(images) * (images.shape[1] // size[0]) * (images.shape[2] // size[1])
    out = torch.empty(windows, len(offsets), 7, dtype=torch.float64)
    arrays = (as_array(part) for part in (images, low_N, factor_N))
    _forward(*arrays, levels, size, spans, _first_pixels(size, spans, as_array(low_N).dtype), out.numpy())
    return out.to(images.dtype)


def _first_pixels(size: Size, spans: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """One for the first pixel of every pair, zero for pixels without a partner: [K, h * w]."""
    first = np.zeros((len(spans), *size), dtype)
    for k, (top, bottom, left, right) in enumerate(spans[:, :4]):
        first[k, top:bottom, left:right] = 1
    return first.reshape(len(spans), -1)


@jit
def _forward(
    images: np.ndarray,
    low: np.ndarray,
    factor: np.ndarray,
    levels: int,
    size: Any,
    spans: np.ndarray,
    first: np.ndarray,
    out: np.ndarray,
) -> None:
    """Two windows at a time: additions to one table are sequential, those to two tables overlap."""
    height, width = size
    across, down = images.shape[2] // width, images.shape[1] // height
    cell, part = np.empty((2, height * width), np.int32), np.empty((2, height * width), images.dtype)
    value, square = np.empty_like(part), np.empty_like(part)
    tables, used = np.empty((2, levels * levels), images.dtype), np.empty(2, np.int64)
    for m in range(0, len(out), 2):
        last = min(m + 1, len(out) - 1)  # of an odd number the last one twice
        for side in range(2):
            at = last if side else m
            n, y, x = at // (across * down), at // across % down * height, at % across * width
            window = images[n, y : y + height, x : x + width]
            _levels(window, low[n], factor[n], levels, cell[side], part[side])
            _center(cell[side], part[side], value[side], square[side])
            used[side] = _shift_to_zero(cell[side])
        for k in range(spans.shape[0]):
            # Tables as narrow as the range of levels: less to clear and to square.
            tables[0, : used[0] ** 2] = 0
            tables[1, : used[1] ** 2] = 0
            _add_corners(cell[0], part[0], cell[1], part[1], spans[k], width, used[0], used[1], tables[0], tables[1])
            for side in range(2):
                # Each by its own length, so that rounding does not depend on the other window.
                squares = _sum_of_squares(tables[side, : used[side] ** 2])
                sums = _sum_pairs(cell[side], part[side], value[side], square[side], first[k], spans[k], width)
                _to_moments(
                    squares,
                    sums,
                    max(1, (spans[k, 1] - spans[k, 0]) * (spans[k, 3] - spans[k, 2])),
                    out[last if side else m, k],
                )


@jit
def _levels(
    window: np.ndarray, low: np.ndarray, factor: np.ndarray, levels: int, cell: np.ndarray, part: np.ndarray
) -> None:
    """Each grey value, stretched to level units, becomes the lower of its two bins and a share of the upper."""
    kind = part.dtype.type
    zero, top, second = kind(0), kind(levels - 1), np.int32(levels - 2)
    height, width = window.shape
    for y in range(height):
        row, below, above = window[y], cell[y * width : (y + 1) * width], part[y * width : (y + 1) * width]
        for x in range(width):
            value = min(max((row[x] - low) * factor, zero), top)
            below[x] = min(np.int32(value), second)
            above[x] = value - kind(below[x])


@jit
def _center(cell: np.ndarray, part: np.ndarray, value: np.ndarray, square: np.ndarray) -> None:
    """Values counted from the first pixel's, so that small differences are not lost beside a high level, and their soft squares."""
    kind = part.dtype.type
    one, level, above = kind(1), cell[0], part[0]
    for p in range(len(cell)):
        f = part[p]
        moved = kind(cell[p] - level) + (f - above)
        value[p] = moved
        square[p] = moved * moved + f * (one - f)


@jit
def _sum_of_squares(table: np.ndarray) -> Any:
    total = table[0] * 0
    for at in range(len(table)):
        total += table[at] * table[at]
    return total


@jit
def _sum_pairs(
    cell: np.ndarray,
    part: np.ndarray,
    value: np.ndarray,
    square: np.ndarray,
    first: np.ndarray,
    span: np.ndarray,
    width: int,
) -> Any:
    """Sums of x, y, x^2, y^2, xy, |i-j| and 1/(1+(i-j)^2) over the soft pairs.

    As one run of pixels: rows of a small window are too short for vector code, and pairs that wrap around count as nought.
    """
    kind = part.dtype.type
    one, zero = kind(1), kind(0)
    begin, end, shift = span[0] * width + span[2], (span[1] - 1) * width + span[3], span[4] * width + span[5]
    cell_i, part_i, value_i, square_i, counts = (
        cell[begin:end],
        part[begin:end],
        value[begin:end],
        square[begin:end],
        first[begin:end],
    )
    begin, end = begin + shift, end + shift
    cell_j, part_j, value_j, square_j = cell[begin:end], part[begin:end], value[begin:end], square[begin:end]
    x, y, xx, yy, xy, gap, near = zero, zero, zero, zero, zero, zero, zero
    for p in range(len(cell_i)):
        count, f, g = counts[p], part_i[p], part_j[p]
        x += value_i[p] * count
        y += value_j[p] * count
        xx += square_i[p] * count
        yy += square_j[p] * count
        xy += value_i[p] * value_j[p] * count
        step, apart = kind(cell_i[p] - cell_j[p]), value_i[p] - value_j[p]
        up, down = f - f * g, g - f * g  # shares of the pair whose difference of levels is one more, and one less
        gap += (max(apart, -apart) if step != zero else up + down) * count
        less, same, more = one + (step - one) * (step - one), one + step * step, one + (step + one) * (step + one)
        # 1/(1+d^2) of all three differences over one denominator: a division costs as much as all the rest.
        shares = down * same * more + (one - up - down) * less * more + up * less * same
        near += shares / (less * same * more) * count
    return x, y, xx, yy, xy, gap, near


@jit
def _to_moments(squares: Any, sums: Any, pairs: int, out: np.ndarray) -> None:
    mean_i, mean_j, square_i, square_j, product = (
        np.float64(sums[0]) / pairs, np.float64(sums[1]) / pairs, np.float64(sums[2]) / pairs, np.float64(sums[3]) / pairs, np.float64(sums[4]) / pairs
    )  # fmt: skip
    out[0] = np.float64(squares) / (pairs * pairs)
    out[1] = square_i + square_j - 2 * product
    out[2], out[3] = np.float64(sums[5]) / pairs, np.float64(sums[6]) / pairs
    out[4] = product - mean_i * mean_j
    out[5], out[6] = max(0.0, square_i - mean_i * mean_i), max(0.0, square_j - mean_j * mean_j)


@jit
def _weights(levels: int, like: np.ndarray) -> np.ndarray:
    """(i-j)^2, |i-j|, 1/(1+(i-j)^2), i, j, i^2 and j^2 of every cell, flat."""
    weights = np.empty((7, levels * levels), like.dtype)
    for i in range(levels):
        for j in range(levels):
            gap, at = abs(i - j), i * levels + j
            weights[0, at], weights[1, at], weights[2, at] = gap * gap, gap, 1 / (1 + gap * gap)
            weights[3, at], weights[4, at], weights[5, at], weights[6, at] = i, j, i * i, j * j
    return weights


@jit
def _shift_to_zero(cell: np.ndarray) -> Any:
    """Lowest level becomes zero; returns how many are touched. Only differences of levels matter here."""
    # Explicit loops over flat pixels: NumPy's minimum does not become vector code here.
    low, high = cell[0], cell[0]
    for p in range(len(cell)):
        low, high = min(low, cell[p]), max(high, cell[p])
    for p in range(len(cell)):
        cell[p] -= low
    return high - low + 2


@jit
def _add_corners(
    cell_a: np.ndarray,
    part_a: np.ndarray,
    cell_b: np.ndarray,
    part_b: np.ndarray,
    span: np.ndarray,
    width: int,
    levels_a: int,
    levels_b: int,
    table_a: np.ndarray,
    table_b: np.ndarray,
) -> None:
    """Small windows have fewer pairs than cells: four single additions beat a table of moments."""
    shift = span[4] * width + span[5]
    one, right, below_a, below_b = part_a.dtype.type(1), np.uint64(1), np.uint64(levels_a), np.uint64(levels_b)
    for y in range(span[0], span[1]):
        for x in range(y * width + span[2], y * width + span[3]):
            here, there = np.uint64(x), np.uint64(x + shift)
            at_a, at_b = (
                np.uint64(cell_a[here] * levels_a + cell_a[there]),
                np.uint64(cell_b[here] * levels_b + cell_b[there]),
            )
            f_a, g_a, f_b, g_b = part_a[here], part_a[there], part_b[here], part_b[there]
            table_a[at_a] += (one - f_a) * (one - g_a)
            table_b[at_b] += (one - f_b) * (one - g_b)
            table_a[at_a + right] += (one - f_a) * g_a
            table_b[at_b + right] += (one - f_b) * g_b
            table_a[at_a + below_a] += f_a * (one - g_a)
            table_b[at_b + below_b] += f_b * (one - g_b)
            table_a[at_a + below_a + right] += f_a * g_a
            table_b[at_b + below_b + right] += f_b * g_b


@jit
def _backward(images: np.ndarray, spans: np.ndarray, levels: int, grad: np.ndarray, out: np.ndarray) -> None:
    count, height, width = images.shape
    kind = images.dtype.type
    cell, part = np.empty(height * width, np.int32), np.empty(height * width, images.dtype)
    tables, weights = np.empty((2, levels * levels), images.dtype), _weights(levels, images[0])
    for n in range(count):
        _levels(images[n], kind(0), kind(1), levels, cell, part)
        used = _shift_to_zero(cell)
        slope = out[n].reshape(height * width)
        for k in range(spans.shape[0]):
            tables[:, : used * levels] = 0
            # The second table takes the copy that a pair of windows would need; it is then overwritten by the slopes.
            _add_corners(cell, part, cell, part, spans[k], width, levels, levels, tables[0], tables[1])
            pairs = max(1, (spans[k, 1] - spans[k, 0]) * (spans[k, 3] - spans[k, 2]))
            _cell_slopes(tables[0], weights, used * levels, pairs, grad[n, k], tables[1])
            _pixel_slopes(tables[1], cell, part, spans[k], width, levels, slope)
        stop_outside(images[n], levels, out[n])


@jit
def _cell_slopes(
    table: np.ndarray, weights: np.ndarray, cells: int, pairs: int, grad: np.ndarray, slopes: np.ndarray
) -> None:
    """How the loss changes with each cell's count; the pairs are constant, so a mean changes a variance in second order only."""
    mean_i, mean_j = 0.0, 0.0
    for at in range(cells):
        mean_i += table[at] * weights[3, at] / pairs
        mean_j += table[at] * weights[4, at] / pairs
    asm, contrast, gap, near, covariance, var_i, var_j = grad[0], grad[1], grad[2], grad[3], grad[4], grad[5], grad[6]
    for at in range(cells):
        far_i, far_j, apart = weights[3, at] - mean_i, weights[4, at] - mean_j, weights[3, at] - weights[4, at]
        linear = (
            contrast * weights[0, at]
            + gap * weights[1, at]
            + near * weights[2, at]
            + var_i * far_i**2
            + var_j * far_j**2
        )
        joint = far_i**2 + far_j**2 + 2 * (mean_i - mean_j) * apart - weights[0, at]
        slopes[at] = (asm * 2 * table[at] / pairs + linear + covariance * joint / 2) / pairs


@jit
def _pixel_slopes(
    slopes: np.ndarray, cell: np.ndarray, part: np.ndarray, span: np.ndarray, width: int, levels: int, out: np.ndarray
) -> None:
    shift = span[4] * width + span[5]
    for y in range(span[0], span[1]):
        for here in range(y * width + span[2], y * width + span[3]):
            there = here + shift
            at = cell[here] * levels + cell[there]
            f, g = part[here], part[there]
            both, right, below, corner = slopes[at], slopes[at + 1], slopes[at + levels], slopes[at + levels + 1]
            out[here] += (1 - g) * (below - both) + g * (corner - right)
            out[there] += (1 - f) * (right - both) + f * (corner - below)
