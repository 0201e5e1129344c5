"""Acquisition changes at severities 1 to 5, the same for every model: what threats.acquisition evaluates models under.

The project's own transforms (sweep.shift.acquisition) run at a strength of severity / 5, and their random settings are drawn once for all
severities, so that a severity is more of the same. The `medmnistc_` ones are those of MedMNIST-C (Di Salvo et al. 2024, arXiv 2406.17536)
with its published parameters for breast ultrasound, where the two overlap; motion blur is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageEnhance
from scipy import ndimage

from sweep.core.acquisition_names import SEVERITIES
from sweep.core.errors import InputError, suggestion
from sweep.core.seeds import rng
from sweep.shift.acquisition import TRANSFORMS, through_jpeg

Change = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]  # uint8 [N, H, W], severity, draws

_REFERENCE_PX = 128  # side of the images that lengths are given for
_BLUR_PX = (0.75, 1.25, 1.75, 2.25, 3.0)  # standard deviation of the Gaussian
_PIXEL_SPREAD = 0.35  # pixels, added to it in quadrature
_MOST_CROPPED = 0.25  # of a side at severity 5
# Published severities 1 to 5 for breastmnist.
_PIXELATE, _QUALITY, _SPECKLE = (0.30, 0.25, 0.20, 0.15, 0.10), (50, 30, 15, 10, 7), (0.10, 0.15, 0.20, 0.25, 0.30)
_BRIGHTER, _DARKER, _FLATTER = (1.4, 1.5, 1.6, 1.8, 2.0), (0.55, 0.5, 0.45, 0.4, 0.3), (0.9, 0.8, 0.7, 0.6, 0.4)


def changed(name: str, images: np.ndarray, severity: int) -> np.ndarray:
    """uint8 images [N, H, W] under the change `name`; the same draws for every call. InputError for an unknown name or severity."""
    if name not in CHANGES:
        raise InputError("threats.acquisition", f"{name!r} is unknown", suggestion(name, CHANGES))
    if severity not in SEVERITIES:
        raise InputError("threats.severity", repr(severity), f"give {SEVERITIES[0]} to {SEVERITIES[-1]}")
    return CHANGES[name](images, severity, rng(0, "acquisition", name)) if len(images) else images.copy()


def _blur(images: np.ndarray, severity: int, _draw: np.random.Generator) -> np.ndarray:
    """A wider point-spread function, the same in both directions."""
    # A Gaussian narrower than the pixel grid is sampled to no change at all: small images would be left as they are.
    spread = float(np.hypot(_PIXEL_SPREAD, _BLUR_PX[severity - 1] * images.shape[1] / _REFERENCE_PX))
    return np.rint(ndimage.gaussian_filter(images.astype(np.float32), (0, spread, spread))).astype(np.uint8)


def _crop(images: np.ndarray, severity: int, draw: np.random.Generator) -> np.ndarray:
    """A smaller field of view: up to a quarter of each side cut away, the rest resized bilinearly to the old size."""
    height, width = images.shape[1:]
    share = 1 - _MOST_CROPPED * severity / SEVERITIES[-1]
    inner = [max(1, round(side * share)) for side in (height, width)]
    places = draw.random(2)
    top, left = (round((side - part) * place) for side, part, place in zip((height, width), inner, places, strict=True))
    box = (left, top, left + inner[1], top + inner[0])
    cut = [Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box) for image in images]
    return np.stack([np.asarray(image) for image in cut])


def _pixelate(images: np.ndarray, severity: int, _draw: np.random.Generator) -> np.ndarray:
    height, width = images.shape[1:]
    small = max(1, int(width * _PIXELATE[severity - 1])), max(1, int(height * _PIXELATE[severity - 1]))
    box = Image.Resampling.BOX
    return _each(images, lambda image: image.resize(small, box).resize((width, height), box))


def _jpeg(images: np.ndarray, severity: int, _draw: np.random.Generator) -> np.ndarray:
    return np.stack([through_jpeg(image, _QUALITY[severity - 1]) for image in images])


def _speckle(images: np.ndarray, severity: int, draw: np.random.Generator) -> np.ndarray:
    values = images / 255.0
    noisy = values + values * draw.normal(size=images.shape, scale=_SPECKLE[severity - 1])
    return (np.clip(noisy, 0, 1) * 255).astype(np.uint8)


def _brightness(factors: tuple[float, ...]) -> Change:
    return lambda images, severity, _draw: _each(
        images, lambda image: ImageEnhance.Brightness(image).enhance(factors[severity - 1])
    )


def _contrast(images: np.ndarray, severity: int, _draw: np.random.Generator) -> np.ndarray:
    return _each(images, lambda image: ImageEnhance.Contrast(image).enhance(_FLATTER[severity - 1]))


def _each(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    made = [np.asarray(change(Image.fromarray(image)), dtype=np.uint8) for image in images]
    return np.stack(made)


def _own(name: str) -> Change:
    return lambda images, severity, draw: TRANSFORMS[name](images, severity / SEVERITIES[-1], draw)


CHANGES: Mapping[str, Change] = {
    **{name: _own(name) for name in ("gain", "depth_gain", "speckle", "contrast", "jpeg", "marks")},
    "blur": _blur,
    "crop": _crop,
    "medmnistc_pixelate": _pixelate,
    "medmnistc_jpeg_compression": _jpeg,
    "medmnistc_speckle_noise": _speckle,
    "medmnistc_brightness_up": _brightness(_BRIGHTER),
    "medmnistc_brightness_down": _brightness(_DARKER),
    "medmnistc_contrast_down": _contrast,
}
