"""Means over what is known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of the finite values; None without any."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known else None
