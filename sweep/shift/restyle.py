"""Source images with the look of unlabelled target images: grey levels, spectrum, brightness along depth, black frame.

`RESTYLES` lists them. Each takes uint8 source images [N, H, W], uint8 target images [R, H, W] and a random generator, and returns uint8
images [N, H, W]. Labels stay those of the source images. Those of `PAIRED` give every source image the look of one target image, drawn
at random; they also exchange what differs between patients. Those of `MATCHED` apply one change to the whole set, as another scanner
does: they match what all target images have in common and leave the differences between images alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy import ndimage

Restyle = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

_SMOOTHING = 1 / 16  # share of the height over which the brightness along depth is averaged
_MOST_GAIN = np.log(8.0)  # of the filter at one frequency
_SPECTRAL_SMOOTHING = 1.5  # frequencies, standard deviation
_FRAME_SHARE = 0.9  # of target images that are black at a pixel of their frame
_BLACK = 8  # grey level up to which a pixel of a border counts as black: lossy storage leaves no exact zeros
_BORDER_SHARE = 0.9  # of the pixels of a line that are black where the line belongs to the border
_LEAST_LINES = 8  # rows or columns of a field of view
_LEAST_MOVED = 0.02  # of the side, by which a border differs before images are fitted into it


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


def common_histogram(
    images: np.ndarray, references: np.ndarray, draw: np.random.Generator, *, bands: int = 1
) -> np.ndarray:
    """One table of grey levels for all images, from their joint distribution to that of half the target images, drawn at random.

    With several `bands` along depth each has its own table, and lines between their middles get a blend: depth gain and dynamic range at
    once. Black stays black, and what is black in nearly all target images becomes so.
    """
    chosen = _half(references, draw)
    height = images.shape[1]
    edges = np.linspace(0, height, bands + 1).round().astype(int)
    tables = np.stack([_table(images[:, a:b], chosen[:, a:b]) for a, b in pairwise(edges)])
    middles = (edges[:-1] + edges[1:] - 1) / 2
    place = np.interp(np.arange(height), middles, np.arange(bands))
    lower = np.minimum(place.astype(int), max(bands - 2, 0))
    upper = np.minimum(lower + 1, bands - 1)
    share = (place - lower)[:, None, None]
    lines = np.moveaxis(images, 1, 0)
    numbers = np.arange(height)
    mixed = [(1 - share[y]) * tables[lower[y]][lines[y]] + share[y] * tables[upper[y]][lines[y]] for y in numbers]
    return _framed(_grey(np.stack(mixed, axis=1)), chosen)


def fitted_to_field(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Images fitted from the field of view that they have in common into that of the target images: other black borders, another crop.

    The same array where the two fields differ by no more than a fiftieth of the side (at least one pixel), or where one is empty.
    """
    own, wanted = _field(images), _field(references)
    if own is None or wanted is None:
        return images
    least = [max(1.0, _LEAST_MOVED * side) for side in images.shape[1:] for _ in range(2)]
    if all(abs(a - b) <= most for a, b, most in zip(own, wanted, least, strict=True)):
        return images
    top, bottom, left, right = wanted
    fitted = np.zeros_like(images)
    for index, image in enumerate(images):
        inner = Image.fromarray(image[own[0] : own[1], own[2] : own[3]])
        fitted[index, top:bottom, left:right] = inner.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    return fitted


def common_spectrum(images: np.ndarray, references: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """One filter for all images, from their mean power spectrum to that of half the target images: another point-spread function.

    Gains are smooth in frequency and lie between 1/8 and 8. Black stays black; other pixels stay above it.
    """
    chosen = _half(references, draw)
    gains = np.exp(np.clip(_log_amplitude(chosen) - _log_amplitude(images), -_MOST_GAIN, _MOST_GAIN))
    values = images.astype(np.float64)
    level = values.mean(axis=(1, 2), keepdims=True)
    filtered = np.fft.ifft2(np.fft.fft2(values - level, axes=(1, 2)) * gains, axes=(1, 2)).real + level
    return _framed(_grey(np.where(images > 0, np.maximum(filtered, 1), 0)), chosen)


def common_spectrum_and_histogram(
    images: np.ndarray, references: np.ndarray, draw: np.random.Generator, *, bands: int = 4
) -> np.ndarray:
    """Grey levels first, so that spectra are comparable; then the spectrum; then grey levels again."""
    levelled = common_histogram(images, references, draw)
    return common_histogram(common_spectrum(levelled, references, draw), references, draw, bands=bands)


PAIRED: Mapping[str, Restyle] = {
    "histogram": histogram,
    "fourier_0.01": partial(fourier, beta=0.01),
    "fourier_0.03": partial(fourier, beta=0.03),
    "fourier_0.06": partial(fourier, beta=0.06),
    "fourier_0.1": partial(fourier, beta=0.1),
    "histogram_fourier_0.03": partial(histogram_and_fourier, beta=0.03),
    "depth_profile": depth_profile,
}
MATCHED: Mapping[str, Restyle] = {
    "common_histogram_4_bands": partial(common_histogram, bands=4),
    "common_spectrum_and_histogram": common_spectrum_and_histogram,
    "common_histogram": common_histogram,
    "common_spectrum_and_histogram_2_bands": partial(common_spectrum_and_histogram, bands=2),
    "common_histogram_8_bands": partial(common_histogram, bands=8),
}
RESTYLES: Mapping[str, Restyle] = {**PAIRED, **MATCHED}


def _half(references: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A random half of the target images, so that two hospitals of one kind differ as two samples of the target do."""
    return references[draw.permutation(len(references))[: max(1, (len(references) + 1) // 2)]]


def _framed(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Black where nearly all target images are."""
    return np.where((references == 0).mean(axis=0) > _FRAME_SHARE, 0, images).astype(np.uint8)


def _field(images: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of what black borders leave of all images together; None where nothing is left."""
    black = (images <= _BLACK).mean(axis=0)
    lines = [np.flatnonzero(black.mean(axis=axis) < _BORDER_SHARE) for axis in (1, 0)]
    if any(len(seen) < _LEAST_LINES for seen in lines):
        return None
    rows, columns = lines
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _table(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """New level float [256] of each grey level: equal quantiles of the non-black pixels get equal levels."""
    counts, wanted = (np.bincount(part.ravel(), minlength=256).astype(float) for part in (images, references))
    counts[0] = wanted[0] = 0
    if not counts.sum() or not wanted.sum():
        return np.arange(256.0)
    middle, reached = ((np.cumsum(part) - part / 2) / part.sum() for part in (counts, wanted))
    table = np.interp(middle, reached[wanted > 0], np.flatnonzero(wanted))
    table[0] = 0
    return table


def _log_amplitude(images: np.ndarray) -> np.ndarray:
    """Logarithm of the root mean power [H, W] of the images' spectra, smoothed over neighbouring frequencies."""
    height, width = images.shape[1:]
    window = np.hanning(height)[:, None] * np.hanning(width)[None]
    values = images.astype(np.float64)
    values -= values.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(values * window, axes=(1, 2))) ** 2).mean(axis=0)
    smooth = ndimage.gaussian_filter(power, _SPECTRAL_SMOOTHING, mode="wrap")
    return 0.5 * np.log(smooth + 1e-6)


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
