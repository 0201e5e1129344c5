"""Names of the acquisition changes under which a model is evaluated (`threats.acquisition`); sweep.shift.severity computes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from sweep.core.metric_table import ACQUISITION_ACCURACY, ACQUISITION_AUROC, MEAN, WORST, metric_name

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
ACQUISITION_METRICS = (ACQUISITION_AUROC, ACQUISITION_ACCURACY)


def condition_name(change: str, severity: int) -> str:
    """One change at one severity, as metrics name it: blur-3."""
    return f"{change}-{severity}"


def condition_of(name: str) -> tuple[str, int] | None:
    """The inverse of `condition_name`; None for the mean over all conditions and for anything else."""
    change, _, severity = name.rpartition("-")
    return (change, int(severity)) if change and severity.isdigit() else None


def conditions(metric: str, changes: Iterable[str], severities: Iterable[int]) -> list[str]:
    """What may stand in the place of a threat in an acquisition metric: mean, each change at each severity, and for accuracy the worst case at each."""
    at = sorted({*severities})
    worst = [condition_name(WORST, severity) for severity in at] if metric == ACQUISITION_ACCURACY else []
    return [MEAN, *worst, *(condition_name(change, severity) for change in changes for severity in at)]


def acquisition_metric(metric: str, split: str, condition: str | None) -> str:
    """The recorded name of an acquisition metric, of the mean over all conditions where none is named."""
    return metric_name(metric, split, condition or MEAN)
