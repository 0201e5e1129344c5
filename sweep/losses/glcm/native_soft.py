"""Compiled CPU kernels of the differentiable counts: triangular bins, four cells a pair."""

# n image, k offset, y row, x column, i and j grey levels of a pair; f and g: how far they lie above their lower level.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sweep.losses.glcm.native import as_array, jit, pair_spans
from sweep.losses.glcm.offsets import Offset


def soft_counts(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Triangular-bin counts [N, K, L, L] of finite float [N, H, W] in level units."""
    counts = torch.empty(len(images), len(offsets), levels, levels, dtype=images.dtype)
    _soft_forward(as_array(images), pair_spans(images, offsets), levels, counts.numpy())
    return counts


def soft_gradient(images: Tensor, levels: int, offsets: Sequence[Offset], grad: Tensor) -> Tensor:
    """Gradient [N, H, W] with respect to the images, from the gradient [N, K, L, L] of `soft_counts`."""
    out = torch.zeros_like(images, memory_format=torch.contiguous_format)
    _soft_backward(as_array(images), pair_spans(images, offsets), levels, as_array(grad), out.numpy())
    return out


def soft_statistics(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Per soft matrix, divided by its total: float64 [N, K, 7] in the order of properties.MOMENTS."""
    out = torch.empty(len(images), len(offsets), 7, dtype=torch.float64)
    _soft_statistics(as_array(images), pair_spans(images, offsets), levels, out.numpy())
    return out


@jit
def _split(image, levels, cell, part):
    """Each value becomes the lower of its two bins (times 4, the stride of a moment table) and a share of the upper."""
    top = image.dtype.type(levels - 1)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = min(max(image[y, x], image.dtype.type(0)), top)
            lower = min(np.int32(value), np.int32(levels - 2))
            cell[y, x] = 4 * lower
            part[y, x] = value - image.dtype.type(lower)


@jit
def _moments(cell, part, span, levels, table):
    """Per cell of the bin lattice: number of pairs, sums of f, of g and of f*g; the four corner weights follow."""
    x0, width, dy, dx = span[2], span[3] - span[2], span[4], span[5]
    table[:] = 0
    for y in range(span[0], span[1]):
        cell_i, cell_j = cell[y, x0:], cell[y + dy, x0 + dx :]
        part_i, part_j = part[y, x0:], part[y + dy, x0 + dx :]
        for x in range(width):
            at = np.uint64(cell_i[x] * levels + cell_j[x])
            f, g = part_i[x], part_j[x]
            # Four neighbours at once: one vector load, add and store a pair.
            table[at] += 1
            table[at + np.uint64(1)] += f
            table[at + np.uint64(2)] += g
            table[at + np.uint64(3)] += f * g


@jit
def _corners(table, levels, counts):
    counts[:] = 0
    for i in range(levels - 1):
        upper, lower = counts[i], counts[i + 1]
        for j in range(levels - 1):
            at = 4 * (i * levels + j)
            f, g, fg = table[at + 1], table[at + 2], table[at + 3]
            upper[j] += table[at] - f - g + fg
            lower[j] += f - fg
            upper[j + 1] += g - fg
            lower[j + 1] += fg


@jit
def _soft_forward(images, spans, levels, counts):
    cell, part = np.empty(images.shape[1:], np.int32), np.empty(images.shape[1:], images.dtype)
    table = np.empty(4 * levels * levels, images.dtype)
    for n in range(images.shape[0]):
        _split(images[n], levels, cell, part)
        for k in range(spans.shape[0]):
            _moments(cell, part, spans[k], levels, table)
            _corners(table, levels, counts[n, k])


@jit
def _soft_backward(images, spans, levels, grad, out):
    cell, part = np.empty(images.shape[1:], np.int32), np.empty(images.shape[1:], images.dtype)
    table = np.zeros(4 * levels * levels, images.dtype)
    for n in range(images.shape[0]):
        _split(images[n], levels, cell, part)
        for k in range(spans.shape[0]):
            _slopes(grad[n, k], levels, table)
            x0, width, dy, dx = spans[k, 2], spans[k, 3] - spans[k, 2], spans[k, 4], spans[k, 5]
            for y in range(spans[k, 0], spans[k, 1]):
                cell_i, cell_j = cell[y, x0:], cell[y + dy, x0 + dx :]
                part_i, part_j = part[y, x0:], part[y + dy, x0 + dx :]
                out_i, out_j = out[n, y, x0:], out[n, y + dy, x0 + dx :]
                for x in range(width):
                    at = np.uint64(cell_i[x] * levels + cell_j[x])
                    twist = table[at + np.uint64(2)]
                    out_i[x] += table[at] + part_j[x] * twist
                    out_j[x] += table[at + np.uint64(1)] + part_i[x] * twist
        _stop_outside(images[n], levels, out[n])


@jit
def _slopes(grad, levels, table):
    """Per cell: how the loss changes with f, with g, and with both together."""
    for i in range(levels - 1):
        for j in range(levels - 1):
            at = 4 * (i * levels + j)
            table[at] = grad[i + 1, j] - grad[i, j]
            table[at + 1] = grad[i, j + 1] - grad[i, j]
            table[at + 2] = grad[i, j] - grad[i, j + 1] - grad[i + 1, j] + grad[i + 1, j + 1]


@jit
def _stop_outside(image, levels, out):
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if image[y, x] < 0 or image[y, x] > levels - 1:
                out[y, x] = 0


@jit
def _soft_statistics(images, spans, levels, out):
    cell, part = np.empty(images.shape[1:], np.int32), np.empty(images.shape[1:], images.dtype)
    counts, marginals = np.empty((levels, levels), images.dtype), np.empty((2, levels), images.dtype)
    gap = np.abs(np.arange(levels).reshape(-1, 1) - np.arange(levels))
    weights = np.empty((3, levels, levels), images.dtype)
    weights[0], weights[1], weights[2] = gap * gap, gap, 1 / (1 + gap * gap)
    for n in range(images.shape[0]):
        _split(images[n], levels, cell, part)
        used = _shift_to_zero(cell)
        for k in range(spans.shape[0]):
            _add_corners(cell, part, spans[k], used, counts)
            pairs = max(1, (spans[k, 1] - spans[k, 0]) * (spans[k, 3] - spans[k, 2]))
            _products(counts, weights, used, pairs, out[n, k])
            _marginals(counts, used, marginals)
            mean_i, out[n, k, 5] = _mean_and_variance(marginals[0], used, pairs)
            mean_j, out[n, k, 6] = _mean_and_variance(marginals[1], used, pairs)
            out[n, k, 4] = (out[n, k, 5] + out[n, k, 6] + (mean_i - mean_j) ** 2 - out[n, k, 1]) / 2


@jit
def _shift_to_zero(cell):
    """Lowest cell becomes zero; returns how many levels are touched. Only differences of levels matter here."""
    low, high = cell.min(), cell.max()
    cell -= low
    return (high - low) // 4 + 2


@jit
def _add_corners(cell, part, span, used, counts):
    """Small windows have fewer pairs than cells: four single additions beat a table of moments."""
    x0, width, dy, dx = span[2], span[3] - span[2], span[4], span[5]
    levels = counts.shape[0]
    one, right, below = part.dtype.type(1), np.uint64(1), np.uint64(levels)
    counts[:used] = 0
    table = counts.reshape(levels * levels)
    for y in range(span[0], span[1]):
        cell_i, cell_j = cell[y, x0:], cell[y + dy, x0 + dx :]
        part_i, part_j = part[y, x0:], part[y + dy, x0 + dx :]
        for x in range(width):
            at = np.uint64(cell_i[x] * levels + cell_j[x]) >> np.uint64(2)
            f, g = part_i[x], part_j[x]
            table[at] += (one - f) * (one - g)
            table[at + right] += (one - f) * g
            table[at + below] += f * (one - g)
            table[at + below + right] += f * g


@jit
def _products(counts, weights, used, pairs, out):
    zero = counts[0, 0] * 0
    square, far2, far1, near = zero, zero, zero, zero
    for i in range(used):
        row, contrast, gap, closeness = counts[i], weights[0, i], weights[1, i], weights[2, i]
        for j in range(used):
            count = row[j]
            square += count * count
            far2 += count * contrast[j]
            far1 += count * gap[j]
            near += count * closeness[j]
    out[0] = square / (pairs * pairs)
    out[1] = far2 / pairs
    out[2] = far1 / pairs
    out[3] = near / pairs


@jit
def _marginals(counts, used, marginals):
    rows, columns = marginals[0], marginals[1]
    columns[:] = 0
    for i in range(used):
        row = counts[i]
        total = row[0] * 0
        for j in range(used):
            total += row[j]
        for j in range(used):
            columns[j] += row[j]
        rows[i] = total


@jit
def _mean_and_variance(marginal, used, pairs):
    mean, variance = 0.0, 0.0
    for i in range(used):
        mean += i * marginal[i]
    mean /= pairs
    for i in range(used):
        variance += (i - mean) ** 2 * marginal[i]
    return mean, variance / pairs
