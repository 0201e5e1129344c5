"""A grey image -> a few numbers that scanners change and anatomy hardly does; sets of them -> how far two hospitals are apart."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

PROPERTIES = ("mean", "contrast", "sharpness", "speckle_size", "high_frequencies", "black", "depth_slope")
LEAST_SPREAD = np.array(
    [2.0, 2.0, 1.0, 0.1, 0.01, 0.05, 5.0]
)  # of each property: what one scanner keeps constant is no unit of length
_BACKGROUND = 4.0  # standard deviation, in pixels, of the blur whose removal leaves the speckle
_LAGS = 16  # over which the autocorrelation of the speckle is followed


def properties(images: np.ndarray) -> np.ndarray:
    """float64 [N, 7] of uint8 images [N, H, W], in the order of PROPERTIES.

    mean and contrast (standard deviation) in grey levels, over non-black pixels; sharpness: standard deviation of the Laplacian in grey
    levels; speckle_size: see `speckle_size`; high_frequencies: share of
    the spectrum's energy above a quarter of the sampling rate; black: share of black pixels; depth_slope: change of the mean grey level
    from top to bottom.
    """
    return np.array([_of(np.asarray(image)) for image in images]).reshape(-1, len(PROPERTIES))


def energy_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Energy distance of two samples of vectors [N, D] and [M, D]: 0 for equal distributions (Szekely and Rizzo 2013)."""
    from scipy.spatial.distance import cdist  # here: not every command that describes images compares sets of them

    return float(max(0.0, _statistic(*(cdist(*pair) for pair in ((first, second), (first, first), (second, second))))))


def standardised(reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """`reference` and `others` [*, D] in units of the reference's standard deviation, centred on its mean.

    Tables of PROPERTIES are divided by LEAST_SPREAD at least: a frame that is the same in all source images has no spread.
    """
    centre, spread = reference.mean(0), reference.std(0)
    if spread.shape == LEAST_SPREAD.shape:
        spread = np.maximum(spread, LEAST_SPREAD)
    spread = np.where(spread > 1e-9, spread, 1.0)
    return [(values - centre) / spread for values in (reference, *others)]


def two_sample_p(first: np.ndarray, second: np.ndarray, *, permutations: int = 199, seed: int = 0) -> float:
    """Permutation p-value of the energy distance: small where the two samples [N, D] and [M, D] differ."""
    from scipy.spatial.distance import cdist

    both = np.concatenate([first, second])
    distances = cdist(both, both)
    draw = np.random.default_rng(seed)
    member = np.arange(len(both)) < len(first)
    observed = _energy(distances, member)
    as_large = sum(_energy(distances, draw.permutation(member)) >= observed - 1e-12 for _ in range(permutations))
    return (as_large + 1) / (permutations + 1)


def _energy(distances: np.ndarray, member: np.ndarray) -> float:
    """The statistic of the split of all images, whose distances are [N, N], into members and others."""
    inside, outside = np.flatnonzero(member), np.flatnonzero(~member)
    return _statistic(*(distances[np.ix_(*pair)] for pair in ((inside, outside), (inside, inside), (outside, outside))))


def _statistic(between: np.ndarray, within: np.ndarray, other: np.ndarray) -> float:
    """The energy distance from the distances between two samples, and within the one and the other."""
    return float(2 * between.mean() - within.mean() - other.mean())


def _of(image: np.ndarray) -> list[float]:
    values = image.astype(np.float64)
    seen = values[image > 0]
    if not len(seen):
        return [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    spectrum = np.abs(np.fft.rfft2(values - values.mean())) ** 2
    rows, columns = np.abs(np.fft.fftfreq(len(image))), np.fft.rfftfreq(image.shape[1])
    high = np.maximum(rows[:, None], columns[None]) > 0.25
    third = max(1, len(image) // 3)
    top, bottom = values[:third][image[:third] > 0], values[-third:][image[-third:] > 0]
    slope = bottom.mean() - top.mean() if len(top) and len(bottom) else 0.0
    return [
        float(seen.mean()),
        float(seen.std()),
        float(ndimage.laplace(values).std()),
        speckle_size(values.astype(np.float32) / 255),
        float(spectrum[high].sum() / max(spectrum.sum(), 1e-12)),
        float(np.mean(image == 0)),
        float(slope),
    ]


def speckle_size(pixels: np.ndarray) -> float:
    """Mean over both axes of the lag at which the autocorrelation of the high-pass image [H, W] falls to one half, in pixels."""
    texture = pixels - ndimage.gaussian_filter(pixels, _BACKGROUND)
    texture = texture - texture.mean()
    power = float((texture**2).mean())
    if power < 1e-12:  # rounding of the blur
        return 0.0
    return float(np.mean([_half_lag(texture, axis, power) for axis in (0, 1)]))


def _half_lag(texture: np.ndarray, axis: int, power: float) -> float:
    moved = np.moveaxis(texture, axis, 0)
    before = 1.0
    for lag in range(1, min(_LAGS, len(moved))):
        now = float((moved[lag:] * moved[:-lag]).mean()) / power
        if now <= 0.5:
            return lag - 1 + (before - 0.5) / (before - now)
        before = now
    return float(min(_LAGS, len(moved)) - 1)
