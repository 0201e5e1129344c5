"""Names of the acquisition changes under which a model is evaluated (`threats.acquisition`); sweep.shift.severity computes them."""

from __future__ import annotations

from typing import Literal, get_args

AcquisitionName = Literal[
    "blur",
    "gain",
    "depth_gain",
    "speckle",
    "contrast",
    "jpeg",
    "crop",
    "marks",
    "medmnistc_pixelate",
    "medmnistc_jpeg_compression",
    "medmnistc_speckle_noise",
    "medmnistc_brightness_up",
    "medmnistc_brightness_down",
    "medmnistc_contrast_down",
]
ACQUISITION: tuple[str, ...] = get_args(AcquisitionName)
SEVERITIES = (1, 2, 3, 4, 5)


def condition_name(change: str, severity: int) -> str:
    """One change at one severity, as metrics name it: blur-3."""
    return f"{change}-{severity}"
