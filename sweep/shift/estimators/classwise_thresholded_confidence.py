"""ATC inside each predicted class: with two classes it gives the whole confusion matrix (arXiv 2507.22776)."""

from __future__ import annotations

import numpy as np

from sweep.shift.estimates import Estimate, from_precisions
from sweep.shift.estimators.thresholded_confidence import negative_entropy, share_above
from sweep.shift.evidence import Evidence


def estimate(evidence: Evidence) -> Estimate:
    """Each predicted class's precision by ATC among the images predicted as that class; then the confusion matrix.

    A class that no source image is predicted as has no threshold: NaN where the target has images of it.
    """
    source, target = negative_entropy(evidence.source), negative_entropy(evidence.target)
    precisions = np.zeros(evidence.classes)
    for label in range(evidence.classes):
        at_home, abroad = evidence.source_predicted == label, evidence.target_predicted == label
        if not abroad.any():
            continue
        right = evidence.source_labels[at_home] == label
        precisions[label] = share_above(source[at_home], right, target[abroad]) if at_home.any() else np.nan
    return from_precisions(evidence.target_predicted, precisions)
