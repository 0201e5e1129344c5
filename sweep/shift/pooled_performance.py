"""Predicted target metrics of all models of a run together, from their true metrics on the same pseudo-hospitals.

Each model's prediction is the mean of its true metrics over the pseudo-hospitals, weighted by nearness, moved along a slope that all models
share: what a change of the model's estimates and margins between two hospitals meant for its true metric, learnt over hospitals x models.
A hospital is near when its images look like the target's (energy distance of image properties) and when the model's margins there,
re-weighted to the target's class mix, look like those on the target (`prevalence.share_by_energy`). Class shares are estimated with all
models together, and accuracy follows from sensitivity, specificity and them.

The interval joins two errors: how far the same prediction of each hospital, made from the other families alone, missed (conformal
prediction with weights by nearness, Tibshirani et al. 2019), and the sampling error of a metric on so few labelled images, which the
hospitals cannot show since they all show the same ones. No target label is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.evaluation.metrics import auroc
from sweep.shift.estimators import cbpe
from sweep.shift.evidence import Evidence
from sweep.shift.predicted_performance import COVERAGE, HospitalResult, Prediction, margin, weighted_quantile

POOLED_METRICS = ("auroc", "sensitivity", "specificity")
_GRID = 200  # points at which distributions of margins are compared
_NEAREST_SHARE = 0.25  # a bandwidth is the distance within which this share of the hospitals lies
_RIDGE = 0.05  # of the common slopes, times the total weight
_NORMAL_90 = 1.6448536269514722


@dataclass(frozen=True)
class ModelEvidence:
    """What may be known of one model: logits [N, 2] and labels [N] of source validation, logits [M, 2] of the target, its hospitals.

    All models of a run have the same hospitals in the same order. `distances` [K] are those of the hospitals' images to the target's,
    in the unit of `properties.energy_distance`. `threshold` is the margin from which class 1 is called.
    """

    source_logits: np.ndarray
    source_labels: np.ndarray
    target_logits: np.ndarray
    hospitals: tuple[HospitalResult, ...]
    distances: np.ndarray
    threshold: float = 0.0
