"""Agreement on the line: agreement between models moves with the hospital as accuracy does (Baek et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.special import ndtr, ndtri

from sweep.shift.evidence import Evidence

_LEAST_MODELS = 3  # a line through fewer pairs fits anything


def estimate_all(models: Sequence[Evidence]) -> list[float]:
    """Target accuracy of each model: the line of target on source agreement over all pairs, in probits, applied to source accuracy.

    All models are evaluated on the same images in the same order. NaN for all with fewer than three models or where all pairs agree
    alike at the source.
    """
    source = np.stack([model.source_predicted for model in models]) if models else np.empty((0, 0))
    target = np.stack([model.target_predicted for model in models]) if models else np.empty((0, 0))
    if len(models) < _LEAST_MODELS:
        return [float("nan")] * len(models)
    pairs = list(combinations(range(len(models)), 2))
    at_home = _probit(np.array([np.mean(source[i] == source[j]) for i, j in pairs]), source.shape[1])
    abroad = _probit(np.array([np.mean(target[i] == target[j]) for i, j in pairs]), target.shape[1])
    if np.ptp(at_home) < 1e-9:
        return [float("nan")] * len(models)
    slope, offset = np.polyfit(at_home, abroad, 1)
    accuracies = np.array([np.mean(model.source_predicted == model.source_labels) for model in models])
    return [float(value) for value in ndtr(slope * _probit(accuracies, source.shape[1]) + offset)]


def _probit(shares: np.ndarray, images: int) -> np.ndarray:
    """Normal quantiles of shares of `images` images; 0 and 1 are moved by half an image."""
    return ndtri(np.clip(shares, 0.5 / images, 1 - 0.5 / images))
