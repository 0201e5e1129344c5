"""GDE: how often two seeds of a recipe disagree at the target is how often they are wrong there (Jiang et al. 2022)."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from sweep.shift.estimates import Estimate
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Accuracy as the mean agreement over all pairs of seeds; NaN with fewer than two seeds."""
    if evidence.target_seeds is None or len(evidence.target_seeds) < 2:
        return {"accuracy": float("nan")}
    return {"accuracy": agreement(evidence.target_seeds.argmax(2))}


def agreement(predicted: np.ndarray) -> float:
    """Share of images on which two of the models agree, mean over all pairs; predicted classes [S, M]."""
    pairs = [np.mean(predicted[i] == predicted[j]) for i, j in combinations(range(len(predicted)), 2)]
    return float(np.mean(pairs))
