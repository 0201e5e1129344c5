"""A confusion matrix of shares -> the metrics that follow from it."""

from __future__ import annotations

import numpy as np

Estimate = dict[str, float]

NORMAL_90 = 1.6448536269514722  # standard errors on each side of a 90 % interval


def from_confusion(confusion: np.ndarray) -> Estimate:
    """accuracy, balanced_accuracy and, for two classes, sensitivity and specificity of a matrix [true, predicted] of counts or shares."""
    confusion = np.asarray(confusion, dtype=np.float64)
    rows = confusion.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recalls = np.where(rows > 0, np.diag(confusion) / rows, np.nan)
    found = recalls[~np.isnan(recalls)]
    estimate = {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "balanced_accuracy": float(found.mean()) if len(found) else float("nan"),
    }
    if len(confusion) == 2:
        estimate |= {"sensitivity": float(recalls[1]), "specificity": float(recalls[0])}
    return estimate


def from_precisions(predicted: np.ndarray, precisions: np.ndarray) -> Estimate:
    """The same from each predicted class's precision [K] and the predicted classes [M] of the images.

    Of two classes the missed share of one predicted class belongs to the other, so the whole matrix is known; of more only the
    accuracy is.
    """
    classes = len(precisions)
    shares = np.bincount(predicted, minlength=classes) / len(predicted)
    right = shares * np.clip(precisions, 0, 1)
    if classes != 2:
        return {"accuracy": float(right.sum())}
    wrong = shares - right
    return from_confusion(np.array([[right[0], wrong[1]], [wrong[0], right[1]]]))
