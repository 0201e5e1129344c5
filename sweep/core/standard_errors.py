"""Standard errors from a metric's value and the number of images alone, for views that cannot wait for a bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z95 = 1.959964


def auroc_error(value: float, positives: int, negatives: int) -> float:
    """Standard error of an AUROC on so many images of either class (Hanley and McNeil 1982, eq. 2); nan where one class is absent."""
    if positives < 1 or negatives < 1:
        return math.nan
    both, same = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (positives - 1) * (both - value**2) + (negatives - 1) * (same - value**2)
    return math.sqrt(max(0.0, variance) / (positives * negatives))


def share_error(value: float, images: int) -> float:
    """Standard error of a share of so many images (binomial); nan where there is none."""
    return math.sqrt(max(0.0, value * (1 - value)) / images) if images else math.nan


def half_width(values: Sequence[float], error: float) -> float | None:
    """Half of an approximate 95 % interval of the mean over seeds: the spread between seeds and `error`, that of one seed's images.

    All seeds are judged on the same images, so `error` does not shrink with their number. None where neither is known.
    """
    variance = 0.0 if math.isnan(error) else error**2
    if len(values) > 1:
        mean = sum(values) / len(values)
        variance += sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
    elif math.isnan(error):
        return None
    return Z95 * math.sqrt(variance)
