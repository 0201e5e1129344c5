"""Ranks of values and the area under the ROC curve, in NumPy: SciPy's ranks are in a module that takes longer to import than most of what asks for them."""

from __future__ import annotations

import numpy as np

from sweep.core.errors import InputError


def ranks(values: np.ndarray) -> np.ndarray:
    """float64 [N]: ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    end = np.cumsum(counts)
    return (end - (counts - 1) / 2)[inverse]


def auroc(positive_score: np.ndarray, positive: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties counting half; NaN unless both kinds are present.

    InputError for scores that are NaN, which have no order, and for another number of labels than scores.
    """
    scores, positive = checked_scores(positive_score, positive)
    pairs = int(positive.sum()) * int((~positive).sum())
    if pairs == 0:
        return float("nan")
    least = positive.sum() * (positive.sum() + 1) / 2  # the rank sum if every positive came last
    return float((ranks(scores)[positive].sum() - least) / pairs)


def checked_scores(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N] and bool [N]; InputError where their numbers differ or a score is NaN."""
    scores, positive = np.asarray(score), np.asarray(positive, dtype=bool)
    if scores.shape != positive.shape:
        raise InputError("scores", f"{scores.shape} for labels {positive.shape}", "give one score for each label")
    if np.isnan(scores).any():
        raise InputError("scores", f"NaN at {int(np.isnan(scores).sum())} of {len(scores)}", "leave these images out")
    return scores, positive
