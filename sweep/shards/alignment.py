"""Pairs of thumbnails -> the affine change that brings one onto the other, and how well their fine structure then agrees.

A copy that was zoomed, turned by a few degrees, cropped or shifted has low correlation with its original pixel by pixel. A few
Gauss-Newton steps on smoothed thumbnails find the change (Lucas and Kanade, IJCAI 1981; with the template's gradient as in Hager and
Belhumeur, IEEE TPAMI 20(10), 1998), all pairs of a block at once. Pixels count by a cosine window: what lies near the border may have
left the picture.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

# M pairs, P thumbnail side.
_PX = 64  # side that the widths below are given for; they scale with the thumbnail's
_SMOOTHINGS = ((2.5, 4), (1.2, 3))  # standard deviation in pixels, and steps at it
_BAND_PX = 6.0  # wider structures are left out of the alignment
_RIDGE = 1e-2  # on the normal equations: flat thumbnails do not move
_MOST = np.array([0.2, 0.2, 0.2, 0.2, 8.0, 8.0], dtype=np.float32)  # linear part, and shift in pixels


def window(px: int) -> np.ndarray:
    """float32 [px, px]: 1 in the middle, 0 at the border, equal under flips and quarter turns."""
    side = np.cos((np.arange(px) - (px - 1) / 2) / px * np.pi)
    return np.outer(side, side).astype(np.float32)


def aligned_correlation(
    first: np.ndarray, second: np.ndarray, first_fine: np.ndarray, second_fine: np.ndarray
) -> np.ndarray:
    """float32 [M] in [-1, 1]: the correlation of fine structure [M, P, P] after `second` was moved onto `first` (uint8 [M, P, P])."""
    change = affine_changes(first, second)
    moved, inside = _sampled(second_fine, change)
    weight = window(first.shape[-1]) * inside
    total = np.maximum(weight.sum((1, 2), keepdims=True), 1e-6)

    def centred(values: np.ndarray) -> np.ndarray:
        return values - (values * weight).sum((1, 2), keepdims=True) / total

    one, other = centred(first_fine), centred(moved)
    energy = (weight * one * one).sum((1, 2)) * (weight * other * other).sum((1, 2))
    return (weight * one * other).sum((1, 2)) / np.sqrt(np.maximum(energy, 1e-12))


def affine_changes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float32 [M, 6]: a, b, c, d, x, y such that `second` at (u + a u + b v + x, v + c u + d v + y) is `first` at (u, v).

    u runs along rows and v along columns from the middle of the thumbnail, in pixels.
    """
    px = first.shape[-1]
    middle = np.arange(px, dtype=np.float32) - (px - 1) / 2
    down, across = np.meshgrid(middle, middle, indexing="ij")
    weight, scale = window(px), px / _PX
    most = _MOST * np.array([1, 1, 1, 1, scale, scale], dtype=np.float32)
    change = np.zeros((len(first), 6), dtype=np.float32)
    for sigma, steps in _SMOOTHINGS:
        wanted, given = _band(first, sigma * scale), _band(second, sigma * scale)
        along_v, along_u = np.gradient(wanted, axis=(1, 2))
        slopes = np.stack(
            [along_u * across, along_u * down, along_v * across, along_v * down, along_u, along_v], axis=1
        )
        weighted = (slopes * weight).reshape(len(first), 6, -1)
        normal = weighted @ slopes.reshape(len(first), 6, -1).transpose(0, 2, 1)
        normal += (
            _RIDGE * np.eye(6, dtype=np.float32) * np.maximum(np.trace(normal, axis1=1, axis2=2)[:, None, None] / 6, 1)
        )
        for _ in range(steps):
            moved, inside = _sampled(given, change)
            residual = ((moved - wanted) * inside).reshape(len(first), -1, 1)
            step = np.linalg.solve(normal, weighted @ residual)[..., 0]
            change = np.clip(change - step, -most, most).astype(np.float32)
    return change


def _sampled(images: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [M, P, P] read at changed places, bilinearly, and which of these lie inside of them."""
    count, px, _ = images.shape
    middle = np.arange(px, dtype=np.float32) - (px - 1) / 2
    v, u = np.meshgrid(middle, middle, indexing="ij")
    a, b, c, d, x, y = (change[:, number, None, None] for number in range(6))
    columns, rows = u + a * u + b * v + x + (px - 1) / 2, v + c * u + d * v + y + (px - 1) / 2
    inside = (columns >= 0) & (columns <= px - 1) & (rows >= 0) & (rows <= px - 1)
    columns, rows = np.clip(columns, 0, px - 1.001), np.clip(rows, 0, px - 1.001)
    left, top = columns.astype(np.int32), rows.astype(np.int32)
    right_share, low_share = columns - left, rows - top
    first = np.arange(count, dtype=np.int32)[:, None, None] * (px * px) + top * px + left
    flat = images.reshape(-1)
    upper = flat[first] * (1 - right_share) + flat[first + 1] * right_share
    lower = flat[first + px] * (1 - right_share) + flat[first + px + 1] * right_share
    return upper * (1 - low_share) + lower * low_share, inside


def _band(images: np.ndarray, sigma: float) -> np.ndarray:
    """Structure between two widths, of unit contrast: float32 [M, P, P]."""
    smooth = _smoothed(images.astype(np.float32), sigma)
    band = smooth - _smoothed(smooth, _BAND_PX * images.shape[-1] / _PX)
    return band / np.maximum(band.std((1, 2), keepdims=True), 1e-3)


def _smoothed(images: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(gaussian_filter1d(images, sigma, axis=1, truncate=2.5), sigma, axis=2, truncate=2.5)
