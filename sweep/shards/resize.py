"""Grey image in, grey image of the wanted size out (Pillow's antialiased triangle filter)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sweep.core.errors import InputError

FITS = ("pad", "stretch")
_FILTER = Image.Resampling.BILINEAR


def shrink(grey: np.ndarray, longer_px: int) -> np.ndarray:
    """uint8 [H, W] with the longer side at most `longer_px`, aspect kept; smaller images stay as they are."""
    height, width = grey.shape
    longer = max(height, width)
    if longer <= longer_px:
        return np.ascontiguousarray(grey)
    size = (max(1, round(width * longer_px / longer)), max(1, round(height * longer_px / longer)))
    return np.asarray(Image.fromarray(grey).resize(size, _FILTER))


def fit_square(grey: np.ndarray, px: int, fit: str = "pad") -> np.ndarray:
    """uint8 [px, px]: letterboxed on black (`pad`, shape kept) or stretched; InputError for another word."""
    if fit not in FITS:
        raise InputError("fit", f"{fit!r} is no way to fit an image", f"write one of {', '.join(FITS)}")
    height, width = grey.shape
    if (height, width) == (px, px):
        return grey
    longer = max(height, width)
    size = (px, px) if fit == "stretch" else (_scaled(width, px, longer), _scaled(height, px, longer))
    resized = np.asarray(Image.fromarray(grey).resize(size, _FILTER))
    if resized.shape == (px, px):
        return resized
    canvas = np.zeros((px, px), dtype=np.uint8)
    top, left = (px - size[1]) // 2, (px - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = resized
    return canvas


def _scaled(side: int, px: int, longer: int) -> int:
    return max(1, round(side * px / longer))
