"""ATC: the share of target images above the confidence that as many source images exceed as are right (arXiv 2201.04234)."""

from __future__ import annotations

import numpy as np

from sweep.shift.estimates import Estimate
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Accuracy by the negative entropy of the calibrated probabilities, the variant that the paper recommends."""
    right = evidence.source_predicted == evidence.source_labels
    share = share_above(negative_entropy(evidence.source), right, negative_entropy(evidence.target))
    return {"accuracy": share}


def negative_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Sum of p log p for each row [N, K]: 0 for a certain prediction."""
    tiny = np.finfo(np.float64).tiny
    return (probabilities * np.log(np.maximum(probabilities, tiny))).sum(1)


def share_above(source: np.ndarray, right: np.ndarray, target: np.ndarray) -> float:
    """Share of target scores above the threshold that the share mean(right) of the source scores exceeds.

    The threshold lies halfway between the two source scores that it separates, so that equal scores at both hospitals give equal shares.
    """
    wrong = round((1 - float(np.mean(right))) * len(source))
    ordered = np.sort(source)
    if wrong == 0:
        return float(np.mean(target >= ordered[0]))
    if wrong == len(source):
        return float(np.mean(target > ordered[-1]))
    return float(np.mean(target > (ordered[wrong - 1] + ordered[wrong]) / 2))
