"""What another scanner or another operator changes in a grey image, as transforms with a strength.

The effects are those of the simulator in sweep/importers/phantom_scanner.py, applied to finished images: `TRANSFORMS` lists them. Each takes
uint8 images [N, H, W], a strength in [0, 1] and a random generator, and returns uint8 images of the same shape; strength 0 changes
nothing. One call is one hospital: its settings are drawn once, what differs between images (noise, letters) for each image.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from sweep.core.images import open_image

Transform = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

_REFERENCE_PX = 128  # lengths below are in pixels of an image of this side
_LETTERS = list("ABCDEFGHKLMNPRSTVX0123456789")


def blur(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """A wider point-spread function: Gaussian, different along and across depth, up to 2 px of 128."""
    unit = images.shape[1] / _REFERENCE_PX
    axial, lateral = 2.0 * unit * strength * draw.uniform(0.3, 1.0, 2)
    return _grey(ndimage.gaussian_filter(images.astype(np.float32), (0, axial, lateral)))


def sharpen(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Edge enhancement: up to 1.5 times the difference from a blurred copy is added."""
    unit = images.shape[1] / _REFERENCE_PX
    values = images.astype(np.float32)
    soft = ndimage.gaussian_filter(values, (0, *(unit * draw.uniform(0.8, 1.6, 2))))
    return _grey(values + 1.5 * strength * (values - soft))


def speckle(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Multiplicative noise with a correlation length of its own: log-compressed speckle, up to 25 % of full scale."""
    unit = images.shape[1] / _REFERENCE_PX
    noise = draw.standard_normal(images.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, (0, *(unit * draw.uniform(0.5, 2.0, 2))))
    noise /= noise.std() + 1e-6
    values = images.astype(np.float32)
    return _grey(values + 0.25 * strength * noise * np.sqrt(values * 255) * (values > 0))


def gain(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Overall gain: in a log-compressed image an offset, up to 35 % of full scale, up or down; black borders stay black."""
    offset = 0.35 * 255 * strength * draw.choice([-1, 1]) * draw.uniform(0.4, 1.0)
    return _grey(np.where(images > 0, images.astype(np.float32) + offset, 0))


def depth_gain(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Time-gain compensation: an offset along depth, from five sliders of up to 30 % of full scale."""
    curve = _curve(0.30 * 255 * strength * draw.uniform(-1, 1, 5), images.shape[1])
    return _grey(np.where(images > 0, images.astype(np.float32) + curve[:, None], 0))


def log_compression(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Another dynamic range: grey levels to a power between 1/2.2 and 2.2."""
    power = 2.2 ** (strength * draw.choice([-1, 1]) * draw.uniform(0.4, 1.0))
    return _grey(255 * (images.astype(np.float32) / 255) ** power)


def contrast(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Distance from the mean grey level of the set times a factor between 1/2 and 2."""
    factor = 2.0 ** (strength * draw.choice([-1, 1]) * draw.uniform(0.4, 1.0))
    values = images.astype(np.float32)
    middle = float(values[images > 0].mean()) if (images > 0).any() else 0.0
    return _grey(np.where(images > 0, middle + factor * (values - middle), 0))


def jpeg(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Lossy storage: JPEG of a quality from 95 down to 10."""
    quality = round(95 - 85 * strength * draw.uniform(0.6, 1.0))
    return images.copy() if strength == 0 else np.stack([through_jpeg(image, quality) for image in images])


def borders(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Another frame: the image shrunk by up to 20 % a side into black borders."""
    height, width = images.shape[1:]
    inner = [max(8, round(side * (1 - 0.2 * strength * draw.uniform(0.3, 1.0)))) for side in (height, width)]
    if inner == [height, width]:
        return images.copy()
    top, left = (int(draw.integers(0, side - part + 1)) for side, part in zip((height, width), inner, strict=True))
    framed = np.zeros_like(images)
    for index, image in enumerate(images):
        small = Image.fromarray(image).resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
        framed[index, top : top + inner[0], left : left + inner[1]] = small
    return framed


def marks(images: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Burned-in marks: a line of letters and a depth ruler, in up to all of the images."""
    height, width = images.shape[1:]
    place = (int(draw.integers(0, max(1, width // 2))), int(draw.integers(0, max(1, height - 10))))
    level, step = int(draw.integers(140, 256)), max(2, height // int(draw.integers(6, 12)))
    marked = images.copy()
    for index in np.flatnonzero(draw.random(len(images)) < strength):
        picture = Image.fromarray(marked[index])
        ImageDraw.Draw(picture).text(place, "".join(draw.choice(_LETTERS, 5)), fill=level)
        marked[index] = picture
        marked[index, step // 2 :: step, -max(2, width // 32) :] = level
    return marked


TRANSFORMS: Mapping[str, Transform] = {
    "blur": blur,
    "sharpen": sharpen,
    "speckle": speckle,
    "gain": gain,
    "depth_gain": depth_gain,
    "log_compression": log_compression,
    "contrast": contrast,
    "jpeg": jpeg,
    "borders": borders,
    "marks": marks,
}


def _grey(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _curve(sliders: np.ndarray, height: int) -> np.ndarray:
    """float32 [H]: the sliders' values joined by straight lines from top to bottom."""
    depth = np.linspace(0, 1, height)
    return np.interp(depth, np.linspace(0, 1, len(sliders)), sliders).astype(np.float32)


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """One grey image [H, W] after JPEG compression of a quality from 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    with open_image(buffer, ("JPEG",)) as stored:
        return np.asarray(stored)
