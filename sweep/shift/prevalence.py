"""Class shares of an unlabelled target: black-box shift estimation, expectation maximisation and matching of score distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from sweep.shift.evidence import Evidence

_EM_STEPS = 1000
_EM_TOLERANCE = 1e-8


def bbse(evidence: Evidence) -> np.ndarray:
    """Class shares [K] of the target from its predicted shares and the source confusion matrix (Lipton et al. 2018).

    Solves predicted = P(predicted | true) x shares for non-negative shares that sum to 1. It assumes that images of a class look
    alike at both hospitals; NaN where the confusion matrix is singular, so that predictions say nothing about the class.
    """
    classes = evidence.classes
    table = np.zeros((classes, classes))
    for true in range(classes):
        chosen = evidence.source_predicted[evidence.source_labels == true]
        table[:, true] = np.bincount(chosen, minlength=classes) / len(chosen)
    if np.linalg.matrix_rank(table, tol=1e-6) < classes:
        return np.full(classes, np.nan)
    predicted = np.bincount(evidence.target_predicted, minlength=classes) / len(evidence.target_predicted)
    heavy = 1e3  # weight of the equation that the shares sum to 1
    shares, _ = nnls(np.vstack([table, np.full((1, classes), heavy)]), np.append(predicted, heavy))
    return shares / shares.sum()


def em(evidence: Evidence) -> np.ndarray:
    """Class shares [K] of the target by expectation maximisation over calibrated probabilities (Saerens et al. 2002)."""
    prior = np.bincount(evidence.source_labels, minlength=evidence.classes) / len(evidence.source_labels)
    shares = prior.copy()
    for _ in range(_EM_STEPS):
        posterior = reweighted(evidence.target, prior, shares)
        new = posterior.mean(0)
        if np.abs(new - shares).max() < _EM_TOLERANCE:
            return new
        shares = new
    return shares


def reweighted(probabilities: np.ndarray, prior: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Probabilities [M, K] calibrated under class shares `prior` [K], as they are under `shares` [K] (Bayes' rule)."""
    weighted = probabilities * (shares / np.maximum(prior, 1e-12))
    return weighted / weighted.sum(1, keepdims=True)


@dataclass(frozen=True)
class EnergyShare:
    """Share of positives that makes a mixture of two classes' scores most like the target's, and how well that fits.

    `apart` is the energy distance of the two classes' scores: with little of it the share is hardly known. `misfit` is that of the
    mixture and the target.
    """

    share: float
    apart: float
    misfit: float


def share_by_energy(positive: np.ndarray, negative: np.ndarray, target: np.ndarray) -> EnergyShare:
    """Positive share of unlabelled scores [M] from labelled scores of both classes [P], [Q] (Kawakubo et al. 2016, in one dimension).

    The integral of (F_target - share F_positive - (1 - share) F_negative) squared is quadratic in the share, so its minimum has a
    closed form. Images of a class must score alike at both hospitals. NaN where the classes' scores do not differ.
    """
    places = np.unique(np.concatenate([positive, negative, target]))
    steps = np.diff(places)
    rise, low, seen = (
        np.searchsorted(np.sort(scores), places[:-1], side="right") / len(scores)
        for scores in (positive, negative, target)
    )
    apart = float(((rise - low) ** 2) @ steps)
    if apart <= 0:
        return EnergyShare(float("nan"), 0.0, 2 * float(((seen - low) ** 2) @ steps))
    share = float(np.clip(((seen - low) * (rise - low)) @ steps / apart, 0, 1))
    misfit = float(((seen - share * rise - (1 - share) * low) ** 2) @ steps)
    return EnergyShare(share, 2 * apart, 2 * misfit)
