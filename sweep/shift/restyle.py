"""Source images with the look of unlabelled target images: grey levels, low-frequency amplitude, brightness along depth.

`RESTYLES` lists them. Each takes uint8 source images [N, H, W], uint8 target images [R, H, W] and a random generator that pairs every
source image with one target image, and returns uint8 images [N, H, W]. Labels stay those of the source images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from scipy import ndimage

Restyle = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

_SMOOTHING = 1 / 16  # share of the height over which the brightness along depth is averaged


def histogram(images: np.ndarray, references: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Each image with the grey-level distribution of a target image: equal quantiles get equal levels; black stays black."""
    chosen = draw.integers(len(references), size=len(images))
    return np.stack([_matched(image, references[one]) for image, one in zip(images, chosen, strict=True)])


def fourier(images: np.ndarray, references: np.ndarray, draw: np.random.Generator, *, beta: float = 0.03) -> np.ndarray:
    """Fourier domain adaptation (Yang and Soatto 2020): amplitudes of the lowest frequencies are those of a target image.

    `beta` is the half side of the exchanged square as a share of the image's side; phases stay.
    """
    height, width = images.shape[1:]
    rows, columns = (np.abs(np.fft.fftfreq(side)) <= max(beta, 0.5 / side) for side in (height, width))
    low = rows[:, None] & columns[None]
    chosen = draw.integers(len(references), size=len(images))
    spectrum = np.fft.fft2(images.astype(np.float64), axes=(1, 2))
    amplitude = np.abs(np.fft.fft2(references.astype(np.float64), axes=(1, 2)))[chosen]
    mixed = np.where(low, amplitude * np.exp(1j * np.angle(spectrum)), spectrum)
    return _grey(np.fft.ifft2(mixed, axes=(1, 2)).real)


def depth_profile(images: np.ndarray, references: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Each image with the mean brightness along depth of a target image; black stays black."""
    chosen = draw.integers(len(references), size=len(images))
    change = _profile(references)[chosen] - _profile(images)
    return _grey(np.where(images > 0, images + change[:, :, None], 0))


def histogram_and_fourier(
    images: np.ndarray, references: np.ndarray, draw: np.random.Generator, *, beta: float = 0.03
) -> np.ndarray:
    """Low-frequency amplitudes first, then grey levels."""
    return histogram(fourier(images, references, draw, beta=beta), references, draw)


RESTYLES: Mapping[str, Restyle] = {
    "histogram": histogram,
    "fourier_0.01": partial(fourier, beta=0.01),
    "fourier_0.03": partial(fourier, beta=0.03),
    "fourier_0.06": partial(fourier, beta=0.06),
    "fourier_0.1": partial(fourier, beta=0.1),
    "histogram_fourier_0.03": partial(histogram_and_fourier, beta=0.03),
    "depth_profile": depth_profile,
}


def _matched(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    seen, wanted = image > 0, reference[reference > 0]
    if not seen.any() or not len(wanted):
        return image.copy()
    counts = np.bincount(image[seen], minlength=256)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()  # the quantile at the middle of each level's images
    table = np.quantile(wanted, np.clip(middle, 0, 1), method="linear")
    table[0] = 0
    return _grey(table[image])


def _profile(images: np.ndarray) -> np.ndarray:
    """Mean grey level of the non-black pixels of each line [N, H], smoothed along depth."""
    seen = images > 0
    counts = seen.sum(2)
    lines = np.where(counts > 0, images.sum(2) / np.maximum(counts, 1), 0.0)
    return ndimage.gaussian_filter1d(lines, max(1.0, _SMOOTHING * images.shape[1]), axis=1, mode="nearest")


def _grey(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
