"""Which kind of shift separates an unlabelled target from the source: none, acquisition, class mix, both, or like nothing simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.shift.class_mix import ClassMix
from sweep.shift.predicted_performance import Prediction
from sweep.shift.properties import energy_distance, standardised, two_sample_p

NONE, ACQUISITION, PREVALENCE, MIXTURE, UNLIKE = "none", "acquisition", "prevalence", "mixture", "unlike"
KINDS = (NONE, ACQUISITION, PREVALENCE, MIXTURE, UNLIKE)
_SIGNIFICANT = 0.01  # p-value below which two sets of images differ
_LEAST_DISTANCE = (
    0.4  # energy distance, in standard deviations, up to which sets of other patients of one scanner differ
)
_FARTHEST = 12.0  # energy distance to the nearest pseudo-hospital from which on the target resembles none of them
_CHANGED = 0.5  # probability from which on the class mix is called another one
_MOST_COMPARED = 300  # images of a side in the permutation test
_NAMED = 3  # properties named as drifted
_DRIFT = 0.5  # standard deviations from which on a property is named


@dataclass(frozen=True)
class Shift:
    """The kind, one of KINDS, and what it follows from.

    Distances are energy distances of image properties in standard deviations of the source; prevalences are shares of the positive class,
    those of the target estimated with their 90 % interval; `drifted` are properties with the target's mean less the source's, in standard
    deviations.
    """

    kind: str
    distance: float
    p: float
    nearest: float
    home_prevalence: float
    prevalence: float
    prevalence_low: float
    prevalence_high: float
    drifted: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Tables:
    """Image properties of source [N, D] and target [M, D], their names, and the distance of the nearest pseudo-hospital to the target."""

    source: np.ndarray
    target: np.ndarray
    names: Sequence[str]
    nearest: float


def shift_of(
    tables: Tables, home_prevalence: float, prevalence: Prediction, mix: ClassMix, if_alike: ClassMix | None = None
) -> Shift:
    """Name the shift from image properties and the class mix of the target: `mix` says whether it is another one, `prevalence` what it is else.

    `if_alike` is the mix where images of a class look alike at both hospitals: it counts where the properties show no other acquisition.
    """
    source, target = standardised(tables.source, tables.target)
    distance = energy_distance(source, target)
    p = two_sample_p(_some(source), _some(target))
    acquired = p < _SIGNIFICANT and distance > _LEAST_DISTANCE
    mix = mix if acquired or if_alike is None else if_alike
    mixed = mix.changed > _CHANGED
    share = mix if mixed or not acquired else prevalence
    if acquired and tables.nearest > _FARTHEST:
        kind = UNLIKE
    else:
        kind = {(False, False): NONE, (True, False): ACQUISITION, (False, True): PREVALENCE}.get(
            (acquired, mixed), MIXTURE
        )
    return Shift(
        kind,
        distance,
        p,
        tables.nearest,
        home_prevalence,
        share.value,
        share.low,
        share.high,
        _drifted(source, target, tables.names),
    )


def _some(table: np.ndarray) -> np.ndarray:
    chosen = np.random.default_rng(0).permutation(len(table))[:_MOST_COMPARED]
    return table[np.sort(chosen)]


def _drifted(source: np.ndarray, target: np.ndarray, names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    moved = target.mean(0) - source.mean(0)
    order = np.argsort(-np.abs(moved))[:_NAMED]
    return tuple((names[place], float(moved[place])) for place in order if abs(moved[place]) >= _DRIFT)
