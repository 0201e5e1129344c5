"""CM-DoC: the difference of confidences inside each predicted class gives the confusion matrix (arXiv 2507.22776)."""

from __future__ import annotations

import numpy as np

from sweep.shift.estimates import Estimate, from_precisions
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Each predicted class's source precision plus the change of its mean confidence; then the confusion matrix.

    A class that no source image is predicted as has no precision: NaN where the target has images of it.
    """
    source, target = evidence.source.max(1), evidence.target.max(1)
    precisions = np.zeros(evidence.classes)
    for label in range(evidence.classes):
        at_home, abroad = evidence.source_predicted == label, evidence.target_predicted == label
        if not abroad.any():
            continue
        if not at_home.any():
            precisions[label] = np.nan
            continue
        right = np.mean(evidence.source_labels[at_home] == label)
        precisions[label] = np.clip(right + target[abroad].mean() - source[at_home].mean(), 0, 1)
    return from_precisions(evidence.target_predicted, precisions)
