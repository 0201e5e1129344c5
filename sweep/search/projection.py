"""Value of a stopped trial -> projected final value, assuming the mean gain of the trials that went on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

END = math.inf  # a whole training, as a place on a curve
Curve = Mapping[float, Sequence[float]]  # epoch of a rung, or END -> one value per objective


def projected(values: Sequence[float], rung: float, curves: Iterable[Curve]) -> list[float]:
    """Add, from rung to rung, the mean gain of the trials that came to both; a step that none made adds nothing.

    A searcher that learns the early value of a stopped trial underestimates its region: half-trained trials are all alike and bad. The
    gains are those of trials that went on, which gain more, so the projection is optimistic; it still ranks better than no projection
    (`python -m benchmarks.search`).
    """
    kept = list(curves)
    places = sorted({place for curve in kept for place in curve if place > rung})
    now = np.asarray(values, dtype=float)
    at = rung
    for place in places:
        gains = [np.subtract(curve[place], curve[at]) for curve in kept if at in curve and place in curve]
        if gains:
            now, at = now + np.mean(gains, axis=0), place
    return now.tolist()
