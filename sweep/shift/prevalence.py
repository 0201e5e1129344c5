"""Class shares of an unlabelled target: black-box shift estimation and expectation maximisation; and thresholds that fit them."""

from __future__ import annotations

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


def towards_home(share: float, error: float, home: float, prior: float) -> tuple[float, float]:
    """A share estimated with this standard error, drawn towards the source's `home` by a normal prior of that spread; and its error then."""
    trust = prior**2 / (prior**2 + error**2)
    return trust * share + (1 - trust) * home if trust > 0 else home, prior * float(np.sqrt(1 - trust))


def reweighted(probabilities: np.ndarray, prior: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Probabilities [M, K] calibrated under class shares `prior` [K], as they are under `shares` [K] (Bayes' rule)."""
    weighted = probabilities * (shares / np.maximum(prior, 1e-12))
    return weighted / weighted.sum(1, keepdims=True)
