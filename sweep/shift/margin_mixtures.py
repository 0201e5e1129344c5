"""How far a model's margins on a target are from those on labelled hospitals once the class mix is made equal, and that class mix.

The distance is the energy distance of one dimension: the integral of the squared difference of distribution functions, times two, over
the spread of the source margins. The mix of a hospital's two classes that is nearest to the target has a closed form (Kawakubo et al. 2016,
class-prior estimation by energy distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_POINTS = 200  # at which distribution functions are compared
_OUTERMOST = 0.001  # quantile at which the points begin and end


@dataclass(frozen=True)
class Mixtures:
    """K labelled hospitals against T = K + 1 places, the hospitals themselves and last the target.

    shares [K, T]: the positive share that makes a hospital's margins most like those at a place; distances [K, T]: what difference is left
    (root of the energy distance over the spread of the source margins); apart [K]: the same between a hospital's classes, squared.
    """

    shares: np.ndarray
    distances: np.ndarray
    apart: np.ndarray


def mixtures_of(
    margins: Sequence[np.ndarray], labels: Sequence[np.ndarray], target: np.ndarray, spread: float
) -> Mixtures:
    """From the margins [N] and labels [N] of each hospital and the margins [M] on the target; every hospital has both classes."""
    everything = np.concatenate([*margins, target])
    low, high = np.quantile(everything, [_OUTERMOST, 1 - _OUTERMOST])
    points = np.linspace(low, high, _POINTS)
    step = (high - low) / (_POINTS - 1) / spread
    positive, negative = (
        np.stack([_distribution(z[y == kind], points) for z, y in zip(margins, labels, strict=True)]) for kind in (1, 0)
    )
    places = np.stack([_distribution(z, points) for z in (*margins, target)])
    rise = positive - negative
    apart = (rise**2).sum(axis=1) * step
    left = places[None] - negative[:, None]
    shares = np.clip(np.einsum("ktp,kp->kt", left, rise) * step / np.maximum(apart, 1e-12)[:, None], 0, 1)
    misfit = ((left - shares[:, :, None] * rise[:, None]) ** 2).sum(axis=2) * step
    return Mixtures(shares, np.sqrt(2 * misfit), 2 * apart)


def _distribution(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Share of the values up to each point [P]."""
    return np.searchsorted(np.sort(values), points, side="right") / len(values)
