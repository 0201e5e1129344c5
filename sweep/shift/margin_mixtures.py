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
    points [P]: margins at which distribution functions are known; below [2, K, P]: those of each class (negative, positive) of a hospital;
    means [2, K] and place_means [T]: mean margins.
    """

    shares: np.ndarray
    distances: np.ndarray
    apart: np.ndarray
    points: np.ndarray
    below: np.ndarray
    means: np.ndarray
    place_means: np.ndarray

    def recalls(self, place: int, share: float, threshold: float) -> np.ndarray:
        """Specificity and sensitivity [2, K] at a place if its margins were those of a hospital, moved to the place's mean margin.

        The mean that the hospital would have with the positive share `share` is compared with the place's, so that another class mix is
        not taken for a move of the margins.
        """
        expected = (1 - share) * self.means[0] + share * self.means[1]
        cuts = threshold - (self.place_means[place] - expected)
        negative, positive = (
            np.array([np.interp(cut, self.points, row) for cut, row in zip(cuts, self.below[kind], strict=True)])
            for kind in (0, 1)
        )
        return np.stack([negative, 1 - positive])


def mixtures_of(
    margins: Sequence[np.ndarray], labels: Sequence[np.ndarray], target: np.ndarray, spread: float
) -> Mixtures:
    """From the margins [N] and labels [N] of each hospital and the margins [M] on the target; every hospital has both classes."""
    everything = np.concatenate([*margins, target])
    low, high = np.quantile(everything, [_OUTERMOST, 1 - _OUTERMOST])
    points = np.linspace(low, high, _POINTS)
    step = (high - low) / (_POINTS - 1) / spread
    classes = [[z[y == kind] for z, y in zip(margins, labels, strict=True)] for kind in (0, 1)]
    negative, positive = (np.stack([_distribution(z, points) for z in of_class]) for of_class in classes)
    places = np.stack([_distribution(z, points) for z in (*margins, target)])
    rise = positive - negative
    apart = (rise**2).sum(axis=1) * step
    left = places[None] - negative[:, None]
    shares = np.clip(np.einsum("ktp,kp->kt", left, rise) * step / np.maximum(apart, 1e-12)[:, None], 0, 1)
    misfit = ((left - shares[:, :, None] * rise[:, None]) ** 2).sum(axis=2) * step
    means = np.array([[z.mean() for z in of_class] for of_class in classes])
    place_means = np.array([z.mean() for z in (*margins, target)])
    return Mixtures(shares, np.sqrt(2 * misfit), 2 * apart, points, np.stack([negative, positive]), means, place_means)


def _distribution(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Share of the values up to each point [P]."""
    return np.searchsorted(np.sort(values), points, side="right") / len(values)
