"""The nuclear norm of the prediction matrix: large when predictions are confident and spread over the classes (arXiv 2510.02956)."""

from __future__ import annotations

import numpy as np

from sweep.shift import calibration
from sweep.shift.estimates import Estimate
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """`score` in (0, 1]: the nuclear norm of the softmax matrix [M, K] over its largest possible value sqrt(M min(M, K))."""
    predictions = calibration.softmax(evidence.target_logits)
    largest = np.sqrt(len(predictions) * min(predictions.shape))
    return {"score": float(np.linalg.norm(predictions, "nuc") / largest)}
