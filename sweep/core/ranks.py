"""Ranks of values and the area under the ROC curve, in NumPy: SciPy's ranks are in a module that takes longer to import than most of what asks for them."""

from __future__ import annotations

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """float64 [N]: ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    end = np.cumsum(counts)
    return (end - (counts - 1) / 2)[inverse]


def auroc(positive_score: np.ndarray, positive: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties counting half; NaN unless both kinds are present."""
    positive = np.asarray(positive, dtype=bool)
    pairs = int(positive.sum()) * int((~positive).sum())
    if pairs == 0:
        return float("nan")
    least = positive.sum() * (positive.sum() + 1) / 2  # the rank sum if every positive came last
    return float((ranks(np.asarray(positive_score))[positive].sum() - least) / pairs)
