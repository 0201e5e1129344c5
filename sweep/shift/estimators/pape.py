"""PAPE: CBPE whose calibration counts the source images that look like target images more (arXiv 2401.08348)."""

from __future__ import annotations

import numpy as np

from sweep.shift import calibration
from sweep.shift.estimates import Estimate
from sweep.shift.estimators.cbpe import expected
from sweep.shift.evidence import Evidence

_RIDGE = 1.0
_LARGEST_WEIGHT = 20.0  # times the mean: one image must not decide the calibration


def estimate(evidence: Evidence) -> Estimate:
    """CBPE with probabilities calibrated on source images weighted by the density ratio of target to source."""
    weights = density_ratio(evidence.source_logits, evidence.target_logits)
    calibrate = calibration.fit(evidence.source_logits, evidence.source_labels, weights)
    return expected(calibrate(evidence.target_logits), evidence.target_predicted)


def density_ratio(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weight [N] of each source image, mean 1: odds of a logistic regression that tells target logits from source logits.

    Logits enter centred over the classes, so that a constant added to all of them changes nothing.
    """
    both = np.concatenate([source, target]).astype(np.float64)
    both -= both.mean(axis=1, keepdims=True)
    features = both[:, 1:]
    features = (features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)
    design = np.concatenate([features, features**2, np.ones((len(both), 1))], axis=1)
    is_target = np.arange(len(both)) >= len(source)
    theta = calibration.logistic_regression(design, is_target.astype(float), ridge=_RIDGE)
    odds = np.exp(np.clip(design[: len(source)] @ theta, -30, 30))
    odds = np.minimum(odds / odds.mean(), _LARGEST_WEIGHT)
    return odds / odds.mean()
