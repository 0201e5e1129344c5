"""AC: the mean calibrated confidence is the accuracy (arXiv 2407.08649)."""

from __future__ import annotations

import numpy as np

from sweep.shift.estimates import NORMAL_90, Estimate
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Accuracy as the mean of the largest probability over the target images."""
    return {"accuracy": float(evidence.target.max(1).mean())}


def interval(evidence: Evidence) -> tuple[float, float]:
    """90 % interval of the accuracy: each image is right with the probability of its confidence (Poisson-binomial, normal approximation)."""
    confidence = evidence.target.max(1)
    half = NORMAL_90 * float(np.sqrt((confidence * (1 - confidence)).sum())) / len(confidence)
    mean = float(confidence.mean())
    return max(0.0, mean - half), min(1.0, mean + half)
