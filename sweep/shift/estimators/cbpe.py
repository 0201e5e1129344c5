"""CBPE: the confusion matrix and AUROC that calibrated probabilities make one expect (arXiv 2401.08348)."""

from __future__ import annotations

import numpy as np

from sweep.shift.estimates import Estimate, from_confusion
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Expected confusion matrix and, macro over the classes, expected AUROC of the target images."""
    return expected(evidence.target, evidence.target_predicted)


def expected(probabilities: np.ndarray, predicted: np.ndarray) -> Estimate:
    """The metrics that probabilities [M, K] make one expect of the predicted classes [M]."""
    classes = probabilities.shape[1]
    confusion = np.stack([np.bincount(predicted, probabilities[:, true], minlength=classes) for true in range(classes)])
    columns = [1] if classes == 2 else range(classes)
    aurocs = [expected_auroc(probabilities[:, column]) for column in columns]
    return {**from_confusion(confusion), "auroc": float(np.mean(aurocs))}


def expected_auroc(p: np.ndarray) -> float:
    """Expected AUROC of scores whose images are positive with probability p [M], independently, ranked by p.

    Sum over pairs with p_i > p_j of p_i (1 - p_j), ties counting half, over the sum of p times the sum of 1 - p, less the
    pairs of an image with itself. NaN when every p is 0 or every p is 1.
    """
    p = np.sort(np.asarray(p, dtype=np.float64))
    negatives = 1 - p
    values, first, counts = np.unique(p, return_index=True, return_counts=True)
    before = np.concatenate([[0.0], np.cumsum(negatives)])[first]
    tied = counts * values * (counts - 1) * (1 - values) / 2
    pairs = float(np.sum(counts * values * before) + tied.sum())
    total = float(p.sum() * negatives.sum() - (p * negatives).sum())
    return pairs / total if total > 0 else float("nan")
