"""Triton kernels of the co-occurrence counts for a GPU: one block of threads a window and offset, its matrix in registers.

Memberships are built in registers and multiplied on the matrix units, so they never reach memory; the seven statistics of the texture loss
are computed beside the counts, whose matrix is not stored either, and the backward pass counts again. Nothing is added atomically except
hard counts of more than TRITON_LEVELS levels, which are whole numbers: results repeat bit for bit.

Imported at first use: Triton comes with PyTorch for NVIDIA GPUs. With TRITON_INTERPRET=1 in the environment before that, the kernels run on
the CPU, slowly, for tests.
"""

# N images or windows, K offsets, L levels (LP: padded to a power of two), i and j grey levels of a pair's first and second pixel.

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from sweep.losses.glcm.backend import TRITON_LEVELS
from sweep.losses.glcm.offsets import Offset
from sweep.losses.glcm.properties import MOMENTS

_LEAST_LEVELS = 16  # of a product on the matrix units
_BLOCK = 64  # pairs taken at once
_SPAN = 6


def hard_counts(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Counts int32 [N, K, L, L] of uint8 [N, H, W]; values must be below `levels`."""
    images, spans = images.contiguous(), _spans_of(images, offsets)
    height, width = images.shape[1:]
    if levels <= TRITON_LEVELS:
        counts = images.new_empty(len(images), len(offsets), levels, levels, dtype=torch.int32)
        _count[len(images), len(offsets)](
            images, spans, counts, height, width, len(offsets), levels, LP=_padded(levels), BLOCK=_BLOCK, SOFT=False
        )
        return counts
    counts = images.new_zeros(len(images), len(offsets), levels, levels, dtype=torch.int32)
    parts = triton.cdiv(height * width, 16 * _BLOCK)
    _count_atomically[len(images), len(offsets), parts](
        images, spans, counts, height, width, len(offsets), levels, BLOCK=16 * _BLOCK
    )
    return counts


def soft_counts(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Triangular-bin counts [N, K, L, L] of float32 [N, H, W] in level units; differentiable once."""
    counts: Tensor = _SoftCounts.apply(images, levels, tuple(offsets))
    return counts


def soft_statistics(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Statistics [N, K, 7] of the soft matrices, in the order of properties.MOMENTS, as shares; differentiable once."""
    found: Tensor = _Statistics.apply(images, levels, tuple(offsets))
    return found


class _SoftCounts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, levels: int, offsets: tuple[Offset, ...]) -> Tensor:
        images = images.contiguous()
        ctx.save_for_backward(images)
        ctx.settings = levels, offsets
        counts = images.new_empty(len(images), len(offsets), levels, levels)
        _count[len(images), len(offsets)](
            images, _spans_of(images, offsets), counts, *images.shape[1:], len(offsets), levels,
            LP=_padded(levels), BLOCK=_BLOCK, SOFT=True,
        )  # fmt: skip
        return counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (images,), (levels, offsets) = ctx.saved_tensors, ctx.settings
        return _pixel_gradients(images, levels, offsets, grad.contiguous(), statistics=False), None, None


class _Statistics(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, levels: int, offsets: tuple[Offset, ...]) -> Tensor:
        images = images.contiguous()
        ctx.save_for_backward(images)
        ctx.settings = levels, offsets
        found = images.new_empty(len(images), len(offsets), len(MOMENTS))
        _summarise[len(images), len(offsets)](
            images, _spans_of(images, offsets), found, *images.shape[1:], len(offsets), levels,
            LP=_padded(levels), BLOCK=_BLOCK,
        )  # fmt: skip
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (images,), (levels, offsets) = ctx.saved_tensors, ctx.settings
        return _pixel_gradients(images, levels, offsets, grad.contiguous(), statistics=True), None, None


def _pixel_gradients(
    images: Tensor, levels: int, offsets: tuple[Offset, ...], grad: Tensor, statistics: bool
) -> Tensor:
    """Gradient [N, H, W]. Every pixel is the first of at most one pair of an offset and the second of at most one: no additions collide."""
    parts = images.new_zeros(2, len(images), len(offsets), *images.shape[1:])
    _differentiate[len(images), len(offsets)](
        images, _spans_of(images, offsets), grad, parts[0], parts[1], *images.shape[1:], len(offsets), levels,
        LP=_padded(levels), BLOCK=_BLOCK, STATISTICS=statistics,
    )  # fmt: skip
    return parts.sum((0, 2))


def _padded(levels: int) -> int:
    return max(_LEAST_LEVELS, triton.next_power_of_2(levels))


def _spans_of(images: Tensor, offsets: Sequence[Offset]) -> Tensor:
    return _spans(images.shape[1], images.shape[2], tuple(offsets), images.device)


@cache
def _spans(height: int, width: int, offsets: tuple[Offset, ...], device: torch.device) -> Tensor:
    """Per offset: first row, rows, first column and columns of the first pixels, then the step to the second: int32 [K, 6].

    Kept, because a recorded training step may not copy from the host.
    """
    rows = [(max(0, -dy), max(0, height - abs(dy)), max(0, -dx), max(0, width - abs(dx)), dy, dx) for dy, dx in offsets]
    return torch.tensor(rows, dtype=torch.int32, device=device).reshape(-1, _SPAN)


@triton.jit
def _pair(spans, k, start, width, BLOCK: tl.constexpr):
    """Places of the first and second pixel of BLOCK pairs in their image, and which of them exist."""
    rows, columns = tl.load(spans + 6 * k + 1), tl.load(spans + 6 * k + 3)
    pair = start + tl.arange(0, BLOCK)
    there = pair < rows * columns
    across = tl.maximum(columns, 1)
    first = (tl.load(spans + 6 * k) + pair // across) * width + tl.load(spans + 6 * k + 2) + pair % across
    return first, first + tl.load(spans + 6 * k + 4) * width + tl.load(spans + 6 * k + 5), there


@triton.jit
def _members(values, there, level, levels, SOFT: tl.constexpr):
    """Membership of each value [BLOCK] in each level [LP]: [LP, BLOCK]; none for pairs that do not exist."""
    if SOFT:
        clamped = tl.minimum(tl.maximum(values, 0.0), (levels - 1).to(tl.float32))
        lower = tl.minimum(clamped.to(tl.int32), levels - 2)
        share = clamped - lower.to(tl.float32) + (values - values)  # NaN stays NaN
        found = tl.where(level[:, None] == lower[None, :], 1.0 - share[None, :], 0.0)
        found += tl.where(level[:, None] == (lower + 1)[None, :], share[None, :], 0.0)
    else:
        found = tl.where(level[:, None] == values[None, :].to(tl.int32), 1.0, 0.0)
    return tl.where(there[None, :], found, 0.0)


@triton.jit
def _slopes(values, there, level, levels):
    """Derivative of each membership by its value [LP, BLOCK]; zero outside the range."""
    inside = there & (values >= 0.0) & (values <= (levels - 1).to(tl.float32))
    lower = tl.minimum(tl.maximum(values, 0.0).to(tl.int32), levels - 2)
    found = tl.where(level[:, None] == (lower + 1)[None, :], 1.0, 0.0) - tl.where(
        level[:, None] == lower[None, :], 1.0, 0.0
    )
    return tl.where(inside[None, :], found, 0.0)


@triton.jit
def _matrix(image, spans, k, width, levels, LP: tl.constexpr, BLOCK: tl.constexpr, SOFT: tl.constexpr):
    """The counts of one image and offset [LP, LP]."""
    level = tl.arange(0, LP)
    counts = tl.zeros((LP, LP), dtype=tl.float32)
    pairs = tl.load(spans + 6 * k + 1) * tl.load(spans + 6 * k + 3)
    for start in range(0, pairs, BLOCK):
        first, second, there = _pair(spans, k, start, width, BLOCK)
        i = _members(tl.load(image + first, mask=there, other=0), there, level, levels, SOFT)
        j = _members(tl.load(image + second, mask=there, other=0), there, level, levels, SOFT)
        counts += tl.dot(i, tl.trans(j), input_precision="ieee")
    return counts


@triton.jit
def _count(
    images, spans, counts, height, width, offsets, levels, LP: tl.constexpr, BLOCK: tl.constexpr, SOFT: tl.constexpr
):
    n, k = tl.program_id(0).to(tl.int64), tl.program_id(1)
    found = _matrix(images + n * height * width, spans, k, width, levels, LP, BLOCK, SOFT)
    level = tl.arange(0, LP)
    place = counts + (n * offsets + k) * levels * levels + level[:, None] * levels + level[None, :]
    wanted = (level[:, None] < levels) & (level[None, :] < levels)
    tl.store(place, found.to(counts.dtype.element_ty), mask=wanted)


@triton.jit
def _count_atomically(images, spans, counts, height, width, offsets, levels, BLOCK: tl.constexpr):
    n, k = tl.program_id(0).to(tl.int64), tl.program_id(1)
    image = images + n * height * width
    first, second, there = _pair(spans, k, tl.program_id(2) * BLOCK, width, BLOCK)
    i = tl.load(image + first, mask=there, other=0).to(tl.int32)
    j = tl.load(image + second, mask=there, other=0).to(tl.int32)
    tl.atomic_add(counts + (n * offsets + k) * levels * levels + i * levels + j, 1, mask=there, sem="relaxed")


@triton.jit
def _summarise(images, spans, out, height, width, offsets, levels, LP: tl.constexpr, BLOCK: tl.constexpr):
    n, k = tl.program_id(0).to(tl.int64), tl.program_id(1)
    pairs = tl.maximum(tl.load(spans + 6 * k + 1) * tl.load(spans + 6 * k + 3), 1).to(tl.float32)
    share = _matrix(images + n * height * width, spans, k, width, levels, LP, BLOCK, True) / pairs
    level = tl.arange(0, LP).to(tl.float32)
    apart = level[:, None] - level[None, :]
    by_i, by_j = tl.sum(share, axis=1), tl.sum(share, axis=0)
    mean_i, mean_j = tl.sum(by_i * level), tl.sum(by_j * level)
    far_i, far_j = level - mean_i, level - mean_j
    place = out + (n * offsets + k) * 7
    tl.store(place, tl.sum(tl.sum(share * share, axis=1)))
    tl.store(place + 1, tl.sum(tl.sum(share * apart * apart, axis=1)))
    tl.store(place + 2, tl.sum(tl.sum(share * tl.abs(apart), axis=1)))
    tl.store(place + 3, tl.sum(tl.sum(share / (1.0 + apart * apart), axis=1)))
    tl.store(place + 4, tl.sum(tl.sum(share * far_i[:, None] * far_j[None, :], axis=1)))
    tl.store(place + 5, tl.sum(by_i * far_i * far_i))
    tl.store(place + 6, tl.sum(by_j * far_j * far_j))


@triton.jit
def _cell_slopes(share, grad, pairs, LP: tl.constexpr):
    """How the loss changes with each cell's count, from the gradient of the seven statistics; the sum of the shares is constant."""
    level = tl.arange(0, LP).to(tl.float32)
    apart = level[:, None] - level[None, :]
    far_i = level - tl.sum(tl.sum(share, axis=1) * level)
    far_j = level - tl.sum(tl.sum(share, axis=0) * level)
    found = tl.load(grad) * 2.0 * share + tl.load(grad + 1) * apart * apart + tl.load(grad + 2) * tl.abs(apart)
    found += tl.load(grad + 3) / (1.0 + apart * apart) + tl.load(grad + 4) * far_i[:, None] * far_j[None, :]
    found += (tl.load(grad + 5) * far_i * far_i)[:, None] + (tl.load(grad + 6) * far_j * far_j)[None, :]
    return found / pairs


@triton.jit
def _differentiate(
    images, spans, grad, by_first, by_second, height, width, offsets, levels,
    LP: tl.constexpr, BLOCK: tl.constexpr, STATISTICS: tl.constexpr,
):  # fmt: skip
    n, k = tl.program_id(0).to(tl.int64), tl.program_id(1)
    image, level = images + n * height * width, tl.arange(0, LP)
    pairs = tl.load(spans + 6 * k + 1) * tl.load(spans + 6 * k + 3)
    if STATISTICS:
        total = tl.maximum(pairs, 1).to(tl.float32)
        share = _matrix(image, spans, k, width, levels, LP, BLOCK, True) / total
        slopes = _cell_slopes(share, grad + (n * offsets + k) * 7, total, LP)
    else:
        place = grad + (n * offsets + k) * levels * levels + level[:, None] * levels + level[None, :]
        slopes = tl.load(place, mask=(level[:, None] < levels) & (level[None, :] < levels), other=0.0)
    out = (n * offsets + k) * height * width
    for start in range(0, pairs, BLOCK):
        first, second, there = _pair(spans, k, start, width, BLOCK)
        i = tl.load(image + first, mask=there, other=0)
        j = tl.load(image + second, mask=there, other=0)
        over_j = tl.dot(slopes, _members(j, there, level, levels, True), input_precision="ieee")
        over_i = tl.dot(tl.trans(slopes), _members(i, there, level, levels, True), input_precision="ieee")
        tl.store(by_first + out + first, tl.sum(_slopes(i, there, level, levels) * over_j, axis=0), mask=there)
        tl.store(by_second + out + second, tl.sum(_slopes(j, there, level, levels) * over_i, axis=0), mask=there)
