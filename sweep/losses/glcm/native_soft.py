"""Compiled CPU kernels of the differentiable counts: triangular bins, four cells a pair."""

# n image, k offset, y row, x column, i and j grey levels of a pair; f and g: how far they lie above their lower level.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sweep.core.compiled import jit
from sweep.losses.glcm.native import as_array, pair_spans, size_of
from sweep.losses.glcm.offsets import Offset

_MOMENTS = 4  # of a cell: number of pairs, sums of f, of g and of f*g


def soft_counts(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Triangular-bin counts [N, K, L, L] of finite float [N, H, W] in level units."""
    counts = torch.empty(len(images), len(offsets), levels, levels, dtype=images.dtype)
    _soft_forward(as_array(images), pair_spans(size_of(images), offsets), levels, counts.numpy())
    return counts


def soft_gradient(images: Tensor, levels: int, offsets: Sequence[Offset], grad: Tensor) -> Tensor:
    """Gradient [N, H, W] with respect to the images, from the gradient [N, K, L, L] of `soft_counts`."""
    out = torch.zeros_like(images, memory_format=torch.contiguous_format)
    _soft_backward(as_array(images), pair_spans(size_of(images), offsets), levels, as_array(grad), out.numpy())
    return out


@jit
def split(image: np.ndarray, levels: int, stride: int, cell: np.ndarray, part: np.ndarray) -> None:
    """Each value becomes the lower of its two bins (times `stride`) and a share of the upper."""
    top = image.dtype.type(levels - 1)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = min(max(image[y, x], image.dtype.type(0)), top)
            lower = min(np.int32(value), np.int32(levels - 2))
            cell[y, x] = stride * lower
            part[y, x] = value - image.dtype.type(lower)


@jit
def _moments(cell: np.ndarray, part: np.ndarray, span: np.ndarray, levels: int, table: np.ndarray) -> None:
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
def _corners(table: np.ndarray, levels: int, counts: np.ndarray) -> None:
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
def _soft_forward(images: np.ndarray, spans: np.ndarray, levels: int, counts: np.ndarray) -> None:
    cell, part = np.empty(images.shape[1:], np.int32), np.empty(images.shape[1:], images.dtype)
    table = np.empty(4 * levels * levels, images.dtype)
    for n in range(images.shape[0]):
        split(images[n], levels, _MOMENTS, cell, part)
        for k in range(spans.shape[0]):
            _moments(cell, part, spans[k], levels, table)
            _corners(table, levels, counts[n, k])


@jit
def _soft_backward(images: np.ndarray, spans: np.ndarray, levels: int, grad: np.ndarray, out: np.ndarray) -> None:
    cell, part = np.empty(images.shape[1:], np.int32), np.empty(images.shape[1:], images.dtype)
    table = np.zeros(4 * levels * levels, images.dtype)
    for n in range(images.shape[0]):
        split(images[n], levels, _MOMENTS, cell, part)
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
        stop_outside(images[n], levels, out[n])


@jit
def _slopes(grad: np.ndarray, levels: int, table: np.ndarray) -> None:
    """Per cell: how the loss changes with f, with g, and with both together."""
    for i in range(levels - 1):
        for j in range(levels - 1):
            at = 4 * (i * levels + j)
            table[at] = grad[i + 1, j] - grad[i, j]
            table[at + 1] = grad[i, j + 1] - grad[i, j]
            table[at + 2] = grad[i, j] - grad[i, j + 1] - grad[i + 1, j] + grad[i + 1, j + 1]


@jit
def stop_outside(image: np.ndarray, levels: int, out: np.ndarray) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if image[y, x] < 0 or image[y, x] > levels - 1:
                out[y, x] = 0
