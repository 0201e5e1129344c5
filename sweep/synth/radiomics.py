"""Radiomic features of whole grey images, as the image biomarker standardisation initiative defines them (IBSI, arXiv 1612.07003).

First-order statistics, co-occurrence (GLCM), run lengths (GLRLM), size zones (GLSZM) and grey-tone differences (NGTDM), all in two dimensions
on LEVELS bins of equal width over the 8-bit range; directional matrices are averaged as features over four directions. The logarithm of the
Frechet distance of these features is FRD (Konz et al. 2024, arXiv 2412.01496), here without its wavelet-filtered copies of the image.
"""

# N images, L grey levels (counted from 1), S longest run or largest zone.

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sweep.core.grey_levels import check_grey_levels

LEVELS = 16
_DIRECTIONS = 4
_EIGHT = np.ones((3, 3), dtype=int)  # pixels that touch at a corner are neighbours
_FLAT_COARSENESS = 1e6  # of an image without any difference, by definition

FIRST_ORDER = (
    "mean", "variance", "skewness", "kurtosis", "median", "minimum", "p10", "p90", "maximum", "interquartile_range", "range",
    "mean_absolute_deviation", "robust_mean_absolute_deviation", "root_mean_square", "entropy", "uniformity",
)  # fmt: skip
CO_OCCURRENCE = (
    "contrast", "dissimilarity", "homogeneity", "ASM", "correlation", "joint_entropy", "joint_maximum", "cluster_shade", "cluster_prominence",
)  # fmt: skip
EMPHASES = (
    "short", "long", "low_grey", "high_grey", "short_low_grey", "short_high_grey", "long_low_grey", "long_high_grey", "grey_non_uniformity",
    "grey_non_uniformity_normalised", "size_non_uniformity", "size_non_uniformity_normalised", "percentage", "grey_variance", "size_variance",
    "entropy",
)  # fmt: skip
DIFFERENCES = ("coarseness", "contrast", "busyness", "complexity", "strength")
NAMES = (
    *(f"first_order_{name}" for name in FIRST_ORDER),
    *(f"glcm_{name}" for name in CO_OCCURRENCE),
    *(f"glrlm_{name}" for name in EMPHASES),
    *(f"glszm_{name}" for name in EMPHASES),
    *(f"ngtdm_{name}" for name in DIFFERENCES),
)


def radiomics(images: np.ndarray) -> np.ndarray:
    """float64 [N, D] features of uint8 images [N, H, W], in the order of NAMES; InputError for images of another type, and for none."""
    check_grey_levels(images, "radiomic features")
    binned = images // (256 // LEVELS)
    by_matrix = co_occurrence(binned, LEVELS)
    rows = []
    for image, levels in zip(images, binned, strict=True):
        runs = [of_sizes(matrix, levels.size) for matrix in run_lengths(levels, LEVELS)]
        zones = of_sizes(size_zones(levels, LEVELS), levels.size)
        rows.append(
            [*first_order(image, levels), *np.mean(runs, axis=0), *zones, *grey_tone_differences(levels, LEVELS)]
        )
    found = np.array(rows, dtype=np.float64).reshape(len(images), -1)
    first = len(FIRST_ORDER)
    return np.concatenate([found[:, :first], by_matrix, found[:, first:]], axis=1)


def first_order(image: np.ndarray, levels: np.ndarray) -> list[float]:
    """The features of FIRST_ORDER: of grey levels [H, W], and of their bins for entropy (in bits) and uniformity."""
    values = image.astype(np.float64).ravel()
    low, quarter, middle, three_quarters, high = np.percentile(values, (10, 25, 50, 75, 90))
    inner = values[(values >= low) & (values <= high)]
    off = values - values.mean()
    variance = float(np.mean(off**2))
    shares = np.bincount(levels.ravel()) / levels.size
    return [
        values.mean(),
        variance,
        float(np.mean(off**3)) / variance**1.5 if variance else 0.0,
        float(np.mean(off**4)) / variance**2 - 3 if variance else 0.0,
        middle,
        values.min(),
        low,
        high,
        values.max(),
        three_quarters - quarter,
        np.ptp(values),
        np.abs(off).mean(),
        np.abs(inner - inner.mean()).mean(),
        np.sqrt(np.square(values).mean()),
        _entropy(shares),
        float(np.square(shares).sum()),
    ]


def co_occurrence(levels: np.ndarray, count: int) -> np.ndarray:
    """The features of CO_OCCURRENCE [N, 9] of images [N, H, W] of levels below `count`: symmetric, distance 1, mean over the four directions."""
    import torch

    from sweep.losses.glcm import glcm, glcm_properties

    shares = glcm(torch.from_numpy(np.ascontiguousarray(levels)), count, symmetric=True, normed=True)  # [N, L, L, 1, A]
    known = glcm_properties(shares, CO_OCCURRENCE[:5])
    matrix = shares[:, :, :, 0].numpy()
    grey = np.arange(1, count + 1, dtype=np.float64)
    mean = np.einsum("nija,i->na", matrix, grey)  # of both axes: the matrix is symmetric
    off = (grey[:, None] + grey[None, :])[None, :, :, None] - 2 * mean[:, None, None, :]
    terms = np.where(matrix > 0, -matrix * np.log2(np.maximum(matrix, np.finfo(float).tiny)), 0.0)
    own = [terms.sum((1, 2)), matrix.max((1, 2)), (off**3 * matrix).sum((1, 2)), (off**4 * matrix).sum((1, 2))]
    by_direction = [*(known[name][:, 0].numpy() for name in CO_OCCURRENCE[:5]), *own]
    return np.stack([one.mean(1) for one in by_direction], axis=1)


def run_lengths(levels: np.ndarray, count: int) -> list[np.ndarray]:
    """Counts [L, S] of runs of equal levels in [H, W], one matrix for each of the directions 0, 90, 45 and 135 degrees."""
    grey = levels.astype(np.int64)
    longest = max(grey.shape)
    lines = (grey, grey.T, _diagonals(grey), _diagonals(grey[::-1]))
    return [_runs(one, count, longest) for one in lines]


def _diagonals(grey: np.ndarray) -> np.ndarray:
    """The rising diagonals of [H, W] as the rows of [H + W - 1, H], filled up with -1: row i is moved i places to the right."""
    height, width = grey.shape
    wide = np.full((height, width + height), -1)
    wide[:, :width] = grey
    return wide.ravel()[:-height].reshape(height, -1).T


def _runs(lines: np.ndarray, count: int, longest: int) -> np.ndarray:
    """Counts [L, S] along the rows of `lines`, which are joined with a separator that no level equals."""
    joined = np.pad(lines, ((0, 0), (0, 1)), constant_values=-1).ravel()
    starts = np.flatnonzero(np.append(True, joined[1:] != joined[:-1]))
    lengths, values = np.diff(np.append(starts, len(joined))), joined[starts]
    kept = values >= 0
    cells = np.bincount(values[kept] * longest + lengths[kept] - 1, minlength=count * longest)
    return cells.reshape(count, longest).astype(np.float64)


def size_zones(levels: np.ndarray, count: int) -> np.ndarray:
    """Counts [L, H * W] of connected zones of equal level in [H, W] by their size; corners connect."""
    matrix = np.zeros((count, levels.size))
    for level in np.unique(levels):
        labelled, zones = ndimage.label(levels == level, structure=_EIGHT)
        np.add.at(matrix, (level, np.bincount(labelled.ravel(), minlength=zones + 1)[1:] - 1), 1)
    return matrix


def of_sizes(matrix: np.ndarray, pixels: int) -> list[float]:
    """The features of EMPHASES of a run-length or size-zone matrix [L, S]; entropy in bits."""
    levels, sizes = np.nonzero(matrix)
    shares = matrix[levels, sizes]
    total = shares.sum()
    shares, grey, size = shares / total, levels + 1.0, sizes + 1.0
    by_level, by_size = matrix.sum(1) / total, matrix.sum(0) / total
    weights = (size**-2, size**2, grey**-2, grey**2)
    short, long, low, high = weights
    emphases = [float((shares * one).sum()) for one in (*weights, short * low, short * high, long * low, long * high)]
    of_levels, of_lengths = float(np.square(by_level).sum()), float(np.square(by_size).sum())
    return [
        *emphases,
        of_levels * total,
        of_levels,
        of_lengths * total,
        of_lengths,
        total / pixels,
        _variance(grey, shares),
        _variance(size, shares),
        _entropy(shares),
    ]


def grey_tone_differences(levels: np.ndarray, count: int) -> list[float]:
    """The features of DIFFERENCES of [H, W]: differences from the mean of the up to eight neighbours inside the image."""
    grey = levels.astype(np.float64) + 1
    sums, inside = (
        ndimage.convolve(one, _EIGHT.astype(np.float64), mode="constant") - one for one in (grey, np.ones_like(grey))
    )
    apart = np.abs(grey - sums / np.maximum(inside, 1)) * (inside > 0)
    number = np.bincount(levels.ravel(), minlength=count)
    s = np.bincount(levels.ravel(), weights=apart.ravel(), minlength=count)
    there = number > 0
    i, p, s = np.flatnonzero(there) + 1.0, number[there] / levels.size, s[there]
    weighted, kinds = float((p * s).sum()), int(there.sum())
    if kinds == 1 or weighted == 0:
        return [_FLAT_COARSENESS, 0.0, 0.0, 0.0, 0.0]
    square = np.subtract.outer(i, i) ** 2
    contrast = (np.outer(p, p) * square).sum() / (kinds * (kinds - 1)) * s.sum() / levels.size
    spread = np.abs(np.subtract.outer(i * p, i * p)).sum()
    both = np.add.outer(p, p)
    complexity = (np.abs(np.subtract.outer(i, i)) * np.add.outer(p * s, p * s) / both).sum() / levels.size
    return [
        1 / weighted,
        float(contrast),
        weighted / float(spread) if spread else 0.0,
        float(complexity),
        float((both * square).sum() / s.sum()),
    ]


def _entropy(shares: np.ndarray) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log2(there)).sum())


def _variance(values: np.ndarray, shares: np.ndarray) -> float:
    mean = float((values * shares).sum())
    return float((np.square(values - mean) * shares).sum())
