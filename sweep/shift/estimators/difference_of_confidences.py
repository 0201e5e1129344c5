"""DoC: accuracy changes between hospitals by as much as the mean confidence does (Guillory et al. 2021)."""

from __future__ import annotations

import numpy as np

from sweep.shift.estimates import Estimate
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Source-validation accuracy plus the difference of the mean confidences, cut to [0, 1]."""
    right = np.mean(evidence.source_predicted == evidence.source_labels)
    change = evidence.target.max(1).mean() - evidence.source.max(1).mean()
    return {"accuracy": float(np.clip(right + change, 0, 1))}
