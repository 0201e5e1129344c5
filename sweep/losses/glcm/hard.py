"""Exact co-occurrence counts of uint8 images, bit-equal to scikit-image's graycomatrix, for whole batches."""

# N images, H rows, W columns, L grey levels, K offsets (D distances times A angles), M images of one chunk.

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sweep.core.errors import InputError, described
from sweep.losses.glcm import backend as backends
from sweep.losses.glcm.offsets import FOUR_ANGLES, Offset, pair_offsets, pair_slices
from sweep.losses.glcm.properties import PROPERTIES, checked, from_sums, of_matrices

CHUNK_CELLS = 1 << 19  # 64-bit cells counted at once: 4 MiB stay in the cache of one core


def glcm(
    images: Tensor,
    levels: int = 256,
    distances: Sequence[float] = (1,),
    angles: Sequence[float] = FOUR_ANGLES,
    symmetric: bool = False,
    normed: bool = False,
    *,
    backend: str = "auto",
) -> Tensor:
    """Counts of level pairs: uint8 [N, H, W] -> int32 [N, L, L, D, A], or float64 shares of one when `normed`.

    `angles` in radians. Raises InputError for images of another type or shape and for values of `levels` or above.
    """
    _check(images, levels)
    offsets = pair_offsets(distances, angles)
    way = backends.choose(backend, images, levels, lambda way: _count(images, levels, offsets, way))
    counts_NKLL = _count(images, levels, offsets, way)
    if symmetric:
        counts_NKLL = counts_NKLL + counts_NKLL.transpose(-1, -2)
    if normed:
        counts_NKLL = counts_NKLL.double()
        counts_NKLL /= counts_NKLL.sum((-1, -2), keepdim=True).clamp_min(1)
    return counts_NKLL.unflatten(1, (len(distances), len(angles))).permute(0, 3, 4, 1, 2)


def glcm_features(
    images: Tensor,
    levels: int = 256,
    distances: Sequence[float] = (1,),
    angles: Sequence[float] = FOUR_ANGLES,
    names: Sequence[str] = PROPERTIES,
    symmetric: bool = False,
    *,
    backend: str = "auto",
) -> dict[str, Tensor]:
    """Equal to `glcm_properties(glcm(...))`: name -> float64 [N, D, A].

    The native backend does not store the matrices: at 256 levels they have more cells than there are pairs.
    """
    _check(images, levels)
    names, offsets = checked(names), pair_offsets(distances, angles)
    way = backends.choose(backend, images, levels, lambda way: _count(images, levels, offsets, way))
    if way == "native" and not symmetric:
        from sweep.losses.glcm.native import hard_sums

        found = from_sums(hard_sums(images, levels, offsets), names)
    else:
        chunks = _chunks(images, levels, offsets, way)
        parts = [_features(images[chunk], levels, offsets, names, symmetric, way) for chunk in chunks]
        found = {name: torch.cat([part[name] for part in parts]) for name in names}
    return {name: value.view(len(images), len(distances), len(angles)) for name, value in found.items()}


def _features(
    images: Tensor, levels: int, offsets: Sequence[Offset], names: Sequence[str], symmetric: bool, way: str
) -> dict[str, Tensor]:
    counts_MLL = _COUNTERS[way](images, levels, offsets).flatten(0, 1)
    return of_matrices(counts_MLL + counts_MLL.transpose(1, 2) if symmetric else counts_MLL, names)


def _check(images: Tensor, levels: int) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 3:
        raise InputError("images", described(images), "give a uint8 tensor [N, H, W]")
    if not isinstance(levels, int) or not 1 <= levels <= 256:
        raise InputError("levels", f"{levels!r}", "give a whole number from 1 to 256, as many as uint8 images have")
    if images.numel() and (largest := int(images.max())) >= levels:
        fix = f"quantise the images first, e.g. images // {256 // levels}"
        raise InputError("images", f"values up to {largest} for {levels} levels", fix)


def _count(images: Tensor, levels: int, offsets: Sequence[Offset], way: str) -> Tensor:
    if way in ("native", "triton"):  # they write each count once, so chunks gain nothing
        return _COUNTERS[way](images, levels, offsets)
    counts_NKLL = images.new_empty(len(images), len(offsets), levels, levels, dtype=torch.int32)
    for part in _chunks(images, levels, offsets, way):
        counts_NKLL[part] = _COUNTERS[way](images[part], levels, offsets)
    return counts_NKLL


def _chunks(images: Tensor, levels: int, offsets: Sequence[Offset], way: str) -> Iterator[slice]:
    # On a GPU chunks only bound memory, of which the memberships of the dense backend take most.
    cells = CHUNK_CELLS if images.device.type == "cpu" else CHUNK_CELLS << 6
    of_one = max(len(offsets) * levels**2, images[0].numel() * levels if way == "dense" and len(images) else 0)
    step = max(1, cells // max(1, of_one))
    return (slice(start, start + step) for start in range(0, len(images) or 1, step))


def _count_native(images_MHW: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    from sweep.losses.glcm.native import hard_counts

    return hard_counts(images_MHW, levels, offsets)


def _count_scatter(images_MHW: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    row_MHW = images_MHW.int() * levels
    cells = []
    for k, offset in enumerate(offsets):
        here, there = pair_slices(images_MHW.shape[1], images_MHW.shape[2], offset)
        cell_MP = (row_MHW[:, *here] + images_MHW[:, *there]).flatten(1)
        cells.append(cell_MP + _first_cell(len(images_MHW), len(offsets), k, levels**2, images_MHW.device))
    size = len(images_MHW) * len(offsets) * levels**2
    return _tally(torch.cat([c.flatten() for c in cells]), size).view(-1, len(offsets), levels, levels)


def _first_cell(images: int, offsets: int, k: int, cells: int, device: torch.device) -> Tensor:
    """Where each image's table for offset `k` begins, as a column."""
    return ((torch.arange(images, dtype=torch.int32, device=device) * offsets + k) * cells)[:, None]


def _tally(index: Tensor, size: int) -> Tensor:
    return torch.bincount(index, minlength=size) if index.device.type == "cpu" else _tally_by_scatter(index, size)


def _tally_by_scatter(index: Tensor, size: int) -> Tensor:
    # On a GPU bincount would wait for the largest index; integer sums are exact in any order.
    ones = torch.ones((), dtype=torch.int32, device=index.device).expand(index.shape)
    return torch.zeros(size, dtype=torch.int32, device=index.device).scatter_add_(0, index.long(), ones)


def _count_one_hot(images_MHW: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    # 0 and 1 are exact in every float type and sums stay below 2^24, so float32 (even TF32) products are exact.
    member_MHWL = functional.one_hot(images_MHW.long(), levels).float()
    tables = []
    with torch.autocast(images_MHW.device.type, enabled=False):
        for offset in offsets:
            here, there = pair_slices(images_MHW.shape[1], images_MHW.shape[2], offset)
            first_MPL, second_MPL = (member_MHWL[:, *part].flatten(1, 2) for part in (here, there))
            tables.append(first_MPL.transpose(1, 2) @ second_MPL)
    return torch.stack(tables, dim=1).int()


def _count_triton(images_MHW: Tensor, levels: int, offsets: Sequence[Offset]) -> Tensor:
    from sweep.losses.glcm.fused import hard_counts

    return hard_counts(images_MHW, levels, offsets)


_COUNTERS = {"native": _count_native, "triton": _count_triton, "scatter": _count_scatter, "dense": _count_one_hot}
