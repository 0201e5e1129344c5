"""Differentiable co-occurrence counts: each pixel belongs to its two nearest levels by triangular bins one level wide.

The usual soft histogram multiplies dense memberships: N*P*L^2 products. A triangular bin touches two levels, so a pair
touches four cells; their weights are 1-f-g+fg, f-fg, g-fg and fg: four additions forward, one look-up backward.
"""

# N images, H rows, W columns, P pairs, L grey levels, K offsets; f and g: how far a pixel lies above its lower level.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sweep.core.errors import InputError, described
from sweep.losses.glcm import backend as backends
from sweep.losses.glcm.offsets import FOUR_ANGLES, Offset, pair_offsets, pair_slices


def soft_glcm(
    images: Tensor,
    levels: int = 32,
    distances: Sequence[float] = (1,),
    angles: Sequence[float] = FOUR_ANGLES,
    symmetric: bool = False,
    normed: bool = False,
    *,
    backend: str = "auto",
) -> Tensor:
    """Soft counts of float images [N, H, W] in level units, 0 to levels-1: [N, L, L, D, A] of the images' type.

    Equal to `glcm` when values lie on levels; there the gradient is that towards the upper level. Values outside the
    range count as its ends and get no gradient. Half precision is computed in float32. Raises InputError for images of another type or shape.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 3:
        raise InputError("images", described(images), "give a float tensor [N, H, W] in level units")
    if not isinstance(levels, int) or levels < 2:
        raise InputError("levels", f"{levels!r}", "give a whole number of bins from 2")
    counts_NKLL = soft_counts(images, levels, pair_offsets(distances, angles), backend)
    if symmetric:
        counts_NKLL = counts_NKLL + counts_NKLL.transpose(-1, -2)
    if normed:
        counts_NKLL = counts_NKLL / counts_NKLL.sum((-1, -2), keepdim=True).clamp_min(1e-12)
    return counts_NKLL.unflatten(1, (len(distances), len(angles))).permute(0, 3, 4, 1, 2)


def soft_counts(images: Tensor, levels: int, offsets: Sequence[Offset], backend: str = "auto") -> Tensor:
    """Soft counts [N, K, L, L] of float images [N, H, W] in level units; differentiable once."""
    images = images if images.dtype in (torch.float32, torch.float64) else images.float()
    way = backends.choose(backend, images, levels, lambda way: _soft_counts(images, levels, offsets, way))
    return _soft_counts(images, levels, offsets, way)


def _soft_counts(images: Tensor, levels: int, offsets: Sequence[Offset], way: str) -> Tensor:
    if way == "dense":
        return _dense(images, levels, offsets)
    if way == "triton":
        from sweep.losses.glcm import fused

        return fused.soft_counts(images, levels, offsets)
    # Compiled code does not check indices: the cell of a NaN would lie outside the table.
    if way == "native" and not finite(images):
        way = "scatter"
    return _SoftCounts.apply(images, levels, tuple(offsets), way)


def finite(images: Tensor) -> bool:
    """False when a value is NaN or infinite (or their sum overflows)."""
    return bool(torch.isfinite(images.detach().sum()))


class _SoftCounts(torch.autograd.Function):
    """Both directions by scatter and gather, in compiled code or in plain PyTorch."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, levels: int, offsets: tuple[Offset, ...], way: str) -> Tensor:
        ctx.save_for_backward(images)
        ctx.settings = levels, offsets, way
        if way == "native":
            from sweep.losses.glcm import native_soft

            return native_soft.soft_counts(images, levels, offsets)
        return _scatter(images, levels, offsets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (images,), (levels, offsets, way) = ctx.saved_tensors, ctx.settings
        if way == "native":
            from sweep.losses.glcm import native_soft

            return native_soft.soft_gradient(images, levels, offsets, grad), None, None, None
        return _gather(images, levels, offsets, grad), None, None, None


def _split(images: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Lower level (int32) and how far the value lies above it: both [N, H, W]."""
    value = images.clamp(0, levels - 1)
    lower = value.to(torch.int32).clamp_(0, levels - 2)
    return lower, value - lower


def _row_starts(lower: Tensor, levels: int) -> Tensor:
    """Where each pixel's row begins in tables [N, L, L] laid end to end: int32 [N, H, W]; the partner's level adds the column."""
    first_N = torch.arange(len(lower), dtype=torch.int32, device=lower.device) * levels**2
    return lower * levels + first_N[:, None, None]


def _scatter(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    lower_NHW, above_NHW = _split(images, levels)
    first_NHW = _row_starts(lower_NHW, levels)
    tables = []
    for offset in offsets:
        here, there = pair_slices(images.shape[1], images.shape[2], offset)
        f, g = above_NHW[:, *here], above_NHW[:, *there]
        # Written in place: concatenating the pieces would copy more than is computed.
        corners, weights = f.new_empty(4, *f.shape, dtype=torch.int32), f.new_empty(4, *f.shape)
        torch.add(first_NHW[:, *here], lower_NHW[:, *there], out=corners[0])
        for corner, step in zip(corners[1:], (1, levels, levels + 1), strict=False):
            torch.add(corners[0], step, out=corner)
        torch.mul(f, g, out=weights[3])
        torch.sub(f, weights[3], out=weights[2])
        torch.sub(g, weights[3], out=weights[1])
        torch.sub(1 - f, weights[1], out=weights[0])
        tables.append(_sum_by(corners.flatten(), weights.flatten(), len(images) * levels**2).view(-1, levels, levels))
    return torch.stack(tables, dim=1)


def _gather(images: Tensor, levels: int, offsets: Sequence[Offset], grad_NKLL: Tensor) -> Tensor:
    lower_NHW, above_NHW = _split(images, levels)
    first_NHW = _row_starts(lower_NHW, levels)
    out_NHW = torch.zeros_like(images)
    with_f = functional.pad(grad_NKLL[:, :, 1:] - grad_NKLL[:, :, :-1], (0, 0, 0, 1))
    with_g = functional.pad(grad_NKLL[..., 1:] - grad_NKLL[..., :-1], (0, 1))
    with_fg = functional.pad(with_g[:, :, 1:] - with_g[:, :, :-1], (0, 0, 0, 1))
    for k, offset in enumerate(offsets):
        here, there = pair_slices(images.shape[1], images.shape[2], offset)
        cell = first_NHW[:, *here] + lower_NHW[:, *there]
        tables = (table[:, k].flatten() for table in (with_f, with_g, with_fg))
        by_f, by_g, by_fg = (table.index_select(0, cell.flatten()).view(cell.shape) for table in tables)
        out_NHW[:, *here] += by_f.addcmul_(above_NHW[:, *there], by_fg)
        out_NHW[:, *there] += by_g.addcmul_(above_NHW[:, *here], by_fg)
    return out_NHW.masked_fill_((images < 0) | (images > levels - 1), 0)


def _sum_by(index: Tensor, weight: Tensor, size: int) -> Tensor:
    if index.device.type == "cpu" and len(index):  # of an empty tensor bincount returns integers
        return torch.bincount(index, weight, size)
    # On a GPU bincount would wait for the largest index.
    return weight.new_zeros(size).scatter_add_(0, index.long(), weight)


def _dense(images: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    """Memberships as matrices and one product an offset: slow on a CPU, fast on a GPU's matrix units."""
    level_L = torch.arange(levels, dtype=images.dtype, device=images.device)
    lower_NHW, _ = _split(images.detach(), levels)
    # clamp would stop the gradient of values that lie exactly on an end.
    inside_NHW = (images >= 0) & (images <= levels - 1)
    value_NHW = torch.where(inside_NHW, images, images.detach().clamp(0, levels - 1))
    offset_NHWL = value_NHW.unsqueeze(-1) - level_L
    # Written with the cell's own two lines instead of 1-|x|, whose slope at a level would be zero.
    rising, falling = level_L == (lower_NHW + 1).unsqueeze(-1), level_L == lower_NHW.unsqueeze(-1)
    member_NHWL = (1 + offset_NHWL) * rising + (1 - offset_NHWL) * falling
    tables = []
    with torch.autocast(images.device.type, enabled=False):
        for offset in offsets:
            here, there = pair_slices(images.shape[1], images.shape[2], offset)
            first_NPL, second_NPL = (member_NHWL[:, *part].flatten(1, 2) for part in (here, there))
            tables.append(first_NPL.transpose(1, 2) @ second_NPL)
    return torch.stack(tables, dim=1)
