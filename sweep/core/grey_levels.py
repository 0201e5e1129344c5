"""The check of images given as 8-bit grey levels, the form of every image set in the project."""

from __future__ import annotations

from sweep.core.errors import InputError, described


def check_grey_levels(images: object, where: str = "images", *, least: int = 1) -> None:
    """InputError unless `images` are an array uint8 [N, H, W], in memory or read when indexed, of at least `least` images.

    Floats in [0, 1] would be taken for nearly black images, and tensors lack what is used of an array.
    """
    if str(getattr(images, "dtype", None)) != "uint8" or getattr(images, "ndim", 0) != 3:
        raise InputError(where, described(images), "give grey levels from 0 to 255 as a NumPy array uint8 [N, H, W]")
    if (count := len(images)) < least:  # type: ignore[arg-type]
        raise InputError(where, f"{count} images", f"give at least {least}")
