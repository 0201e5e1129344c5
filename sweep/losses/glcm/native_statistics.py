"""Compiled statistics of many small windows' soft matrices, and their gradient, without writing a matrix to memory."""

# n image, k offset, y row, x column, i and j grey levels of a pair; f and g: how far they lie above their lower level.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sweep.losses.glcm.native import as_array, jit, pair_spans
from sweep.losses.glcm.native_soft import split, stop_outside
from sweep.losses.glcm.offsets import Offset


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
        out = torch.empty(len(images), len(offsets), 7, dtype=torch.float64)
        _forward(as_array(images), pair_spans(images, offsets), levels, out.numpy())
        return out.to(images.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (images,), (levels, offsets) = ctx.saved_tensors, ctx.settings
        out = torch.zeros_like(images, memory_format=torch.contiguous_format)
        _backward(as_array(images), pair_spans(images, offsets), levels, as_array(grad.double()), out.numpy())
        return out, None, None


@jit
def _forward(images, spans, levels, out):
    """Two windows at a time: additions to one table wait for each other, those to two overlap."""
    count, height, width = images.shape
    cell, part = np.empty((2, height, width), np.int32), np.empty((2, height, width), images.dtype)
    flat_cell, flat_part = cell.reshape(2, height * width), part.reshape(2, height * width)
    tables, weights = np.empty((2, levels * levels), images.dtype), _weights(levels, images[0])
    for n in range(0, count, 2):
        last = min(n + 1, count - 1)  # of an odd number the last one twice
        split(images[n], levels, 1, cell[0], part[0])
        split(images[last], levels, 1, cell[1], part[1])
        used_a, used_b = _shift_to_zero(cell[0]), _shift_to_zero(cell[1])
        for k in range(spans.shape[0]):
            tables[:, : max(used_a, used_b) * levels] = 0
            _add_corners(flat_cell[0], flat_part[0], flat_cell[1], flat_part[1], spans[k], width, levels, tables[0], tables[1])
            pairs = max(1, (spans[k, 1] - spans[k, 0]) * (spans[k, 3] - spans[k, 2]))
            # Each by its own length, so that no window's last digits depend on its neighbour.
            _describe(tables[0], weights, used_a * levels, pairs, out[n, k])
            _describe(tables[1], weights, used_b * levels, pairs, out[last, k])


@jit
def _weights(levels, like):
    """(i-j)^2, |i-j|, 1/(1+(i-j)^2), i, j, i^2 and j^2 of every cell, flat."""
    weights = np.empty((7, levels * levels), like.dtype)
    for i in range(levels):
        for j in range(levels):
            gap, at = abs(i - j), i * levels + j
            weights[0, at], weights[1, at], weights[2, at] = gap * gap, gap, 1 / (1 + gap * gap)
            weights[3, at], weights[4, at], weights[5, at], weights[6, at] = i, j, i * i, j * j
    return weights


@jit
def _shift_to_zero(cell):
    """Lowest level becomes zero; returns how many are touched. Only differences of levels matter here."""
    low, high = cell.min(), cell.max()
    cell -= low
    return high - low + 2


@jit
def _add_corners(cell_a, part_a, cell_b, part_b, span, width, levels, table_a, table_b):
    """Small windows have fewer pairs than cells: four single additions beat a table of moments."""
    shift = span[4] * width + span[5]
    one, right, below = part_a.dtype.type(1), np.uint64(1), np.uint64(levels)
    for y in range(span[0], span[1]):
        for x in range(y * width + span[2], y * width + span[3]):
            here, there = np.uint64(x), np.uint64(x + shift)
            at_a, at_b = np.uint64(cell_a[here] * levels + cell_a[there]), np.uint64(cell_b[here] * levels + cell_b[there])
            f_a, g_a, f_b, g_b = part_a[here], part_a[there], part_b[here], part_b[there]
            table_a[at_a] += (one - f_a) * (one - g_a)
            table_b[at_b] += (one - f_b) * (one - g_b)
            table_a[at_a + right] += (one - f_a) * g_a
            table_b[at_b + right] += (one - f_b) * g_b
            table_a[at_a + below] += f_a * (one - g_a)
            table_b[at_b + below] += f_b * (one - g_b)
            table_a[at_a + below + right] += f_a * g_a
            table_b[at_b + below + right] += f_b * g_b


@jit
def _describe(table, weights, cells, pairs, out):
    """One table's row of properties.MOMENTS, in one pass: flat loops of one length become vector code."""
    zero = table[0] * 0
    square, far2, far1, near, i1, j1, i2, j2 = zero, zero, zero, zero, zero, zero, zero, zero
    for at in range(cells):
        count = table[at]
        square += count * count
        far2 += count * weights[0, at]
        far1 += count * weights[1, at]
        near += count * weights[2, at]
        i1 += count * weights[3, at]
        j1 += count * weights[4, at]
        i2 += count * weights[5, at]
        j2 += count * weights[6, at]
    mean_i, mean_j = np.float64(i1) / pairs, np.float64(j1) / pairs
    out[0] = np.float64(square) / (pairs * pairs)
    out[1] = far2 / pairs
    out[2] = far1 / pairs
    out[3] = near / pairs
    out[5] = max(0.0, np.float64(i2) / pairs - mean_i * mean_i)
    out[6] = max(0.0, np.float64(j2) / pairs - mean_j * mean_j)
    out[4] = (out[5] + out[6] + (mean_i - mean_j) ** 2 - out[1]) / 2


@jit
def _backward(images, spans, levels, grad, out):
    count, height, width = images.shape
    cell, part = np.empty((height, width), np.int32), np.empty((height, width), images.dtype)
    flat_cell, flat_part = cell.reshape(height * width), part.reshape(height * width)
    tables, weights = np.empty((2, levels * levels), images.dtype), _weights(levels, images[0])
    for n in range(count):
        split(images[n], levels, 1, cell, part)
        used = _shift_to_zero(cell)
        slope = out[n].reshape(height * width)
        for k in range(spans.shape[0]):
            tables[:, : used * levels] = 0
            # The second table takes the copy that a pair of windows would need; it is then overwritten by the slopes.
            _add_corners(flat_cell, flat_part, flat_cell, flat_part, spans[k], width, levels, tables[0], tables[1])
            pairs = max(1, (spans[k, 1] - spans[k, 0]) * (spans[k, 3] - spans[k, 2]))
            _cell_slopes(tables[0], weights, used * levels, pairs, grad[n, k], tables[1])
            _pixel_slopes(tables[1], flat_cell, flat_part, spans[k], width, levels, slope)
        stop_outside(images[n], levels, out[n])


@jit
def _cell_slopes(table, weights, cells, pairs, grad, slopes):
    """How the loss changes with each cell's count; the pairs are constant, so a mean changes a variance in second order only."""
    mean_i, mean_j = 0.0, 0.0
    for at in range(cells):
        mean_i += table[at] * weights[3, at] / pairs
        mean_j += table[at] * weights[4, at] / pairs
    asm, contrast, gap, near, covariance, var_i, var_j = grad[0], grad[1], grad[2], grad[3], grad[4], grad[5], grad[6]
    for at in range(cells):
        far_i, far_j, apart = weights[3, at] - mean_i, weights[4, at] - mean_j, weights[3, at] - weights[4, at]
        linear = contrast * weights[0, at] + gap * weights[1, at] + near * weights[2, at] + var_i * far_i**2 + var_j * far_j**2
        joint = far_i**2 + far_j**2 + 2 * (mean_i - mean_j) * apart - weights[0, at]
        slopes[at] = (asm * 2 * table[at] / pairs + linear + covariance * joint / 2) / pairs


@jit
def _pixel_slopes(slopes, cell, part, span, width, levels, out):
    shift = span[4] * width + span[5]
    for y in range(span[0], span[1]):
        for here in range(y * width + span[2], y * width + span[3]):
            there = here + shift
            at = cell[here] * levels + cell[there]
            f, g = part[here], part[there]
            both, right, below, corner = slopes[at], slopes[at + 1], slopes[at + levels], slopes[at + levels + 1]
            out[here] += (1 - g) * (below - both) + g * (corner - right)
            out[there] += (1 - f) * (right - both) + f * (corner - below)
