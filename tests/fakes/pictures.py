"""Seeded grey pictures for fake data sets: blobs in noise, never a medical image."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


def picture(seed, height=40, width=52):
    """uint8 [height, width]; different seeds look different to any duplicate search."""
    draw = np.random.default_rng(seed)
    coarse = gaussian_filter(draw.standard_normal((height, width)), height / 10, mode="wrap")
    noisy = coarse / coarse.std() * 45 + 120 + draw.normal(0, 6, (height, width))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def save_grey(path, seed, **size):
    """A grey picture under `path`, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, **size)).save(path)


def save_tinted(path, seed, alpha=None):
    """A bluish picture; with `alpha`, its top quarter is transparent white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = picture(seed)
    channels = np.stack([grey // 2, grey // 2, grey], axis=2)
    if alpha is not None:
        opacity = np.full(grey.shape, 255, dtype=np.uint8)
        channels[: len(grey) // 4] = 255
        opacity[: len(grey) // 4] = alpha
        channels = np.dstack([channels, opacity])
    Image.fromarray(channels).save(path)


def save_mask(path, height=40, width=52):
    """A white square on black, as segmentation masks are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[height // 3 : height // 2, width // 3 : width // 2] = 255
    Image.fromarray(mask).save(path)
