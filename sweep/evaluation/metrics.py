"""Logits and labels -> named numbers; in NumPy. Titles, directions and ranges are rows of `sweep.core.metric_table`.

Labels are class indices int64 [N], or for several labels per image floats [N, K] where NaN means unknown. With two classes,
class 1 is the positive one. A metric that the labels leave undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sweep.core.errors import InputError
from sweep.core.ranks import auroc, checked_scores

Scores = np.ndarray  # probabilities float64 [N, K]
Labels = np.ndarray

_CALIBRATION_BINS = 15


def classification_metrics(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, float]:
    """Every metric of METRICS and DIAGNOSTICS for float logits [N, num_classes].

    Class numbers may have any integer type or be bool. InputError for class numbers that are floats, when shapes or classes do
    not fit, and for logits that are not finite.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), _class_numbers(np.asarray(labels))
    _check(logits, labels, num_classes)
    scores = probabilities(logits, multi_label=labels.ndim == 2)
    order = log_odds(logits, multi_label=labels.ndim == 2)
    measures = METRICS | DIAGNOSTICS
    return {name: float(metric(order if name in RANKING else scores, labels)) for name, metric in measures.items()}


def auroc_by_class(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """AUROC of each class against the rest, or of each finding over the images where it is known, by its name; NaN unless both kinds are there.

    Their mean over what is defined is the AUROC of `classification_metrics` for three or more classes and for findings. InputError
    when shapes do not fit and for logits that are not finite.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    _check_logits(logits, labels, len(names))
    if not len(logits):
        return dict.fromkeys(names, float("nan"))
    order = log_odds(logits, multi_label=labels.ndim == 2)
    if labels.ndim == 1:
        return {name: auroc(order[:, k], labels == k) for k, name in enumerate(names)}
    known = ~np.isnan(labels)
    return {name: auroc(order[known[:, k], k], labels[known[:, k], k] == 1) for k, name in enumerate(names)}


def probabilities(logits: np.ndarray, *, multi_label: bool = False) -> np.ndarray:
    """Softmax over the classes, or an independent sigmoid per label, float64 [N, K]."""
    logits = np.asarray(logits, dtype=np.float64)
    if multi_label:
        return 0.5 * (1 + np.tanh(0.5 * logits))  # the sigmoid, without overflow
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_odds(logits: np.ndarray, *, multi_label: bool = False) -> np.ndarray:
    """Log-odds of every class against all others, or the logit of every label, float64 [N, K].

    They order images as `probabilities` do, but do not tie: beyond a margin of 37 a probability is 1 in float64.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if multi_label or logits.shape[1] < 2:
        return logits
    if logits.shape[1] == 2:
        return logits - logits[:, ::-1]
    rest = [np.logaddexp.reduce(np.delete(logits, k, axis=1), axis=1) for k in range(logits.shape[1])]
    return logits - np.stack(rest, axis=1)


def all_correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which images are classified correctly, bool [N]; of several findings all known ones must be right."""
    if labels.ndim == 1:
        return np.asarray(logits.argmax(1) == labels)
    return np.asarray((((logits > 0) == (labels == 1)) | np.isnan(labels)).all(1))


def average_precision(positive_score: np.ndarray, positive: np.ndarray) -> float:
    """Area under precision and recall as a step sum; equal scores enter together. NaN without positives, InputError as `auroc`."""
    scores, positive = checked_scores(positive_score, positive)
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    score, hit = scores[order], positive[order]
    last_of_tie = np.append(score[1:] != score[:-1], True)
    found, seen = np.cumsum(hit)[last_of_tie], (np.arange(len(hit)) + 1)[last_of_tie]
    return float(np.sum(np.diff(found, prepend=0) * found / seen) / hit.sum())


def _class_numbers(labels: np.ndarray) -> np.ndarray:
    """int64 [N] of class numbers; 0/1 labels [N, K] as floats."""
    if labels.ndim == 2:
        return labels.astype(np.float64)
    if labels.dtype.kind not in "iub":
        raise InputError("labels", f"type {labels.dtype}", "give class numbers as integers")
    return labels.astype(np.int64)


def _check(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    _check_logits(logits, labels, num_classes)
    if labels.ndim == 1 and len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        fix = f"number the classes from 0 to {num_classes - 1}, and leave images without a known class out"
        raise InputError("labels", f"values from {labels.min()} to {labels.max()}", fix)


def _check_logits(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    fits = logits.shape == (len(labels), num_classes) and labels.shape in ((len(labels),), logits.shape)
    if not fits:
        problem = f"logits {logits.shape} and labels {labels.shape} for {num_classes} classes"
        raise InputError("logits", problem, "give logits [N, K], and class numbers [N] or labels [N, K]")
    if not np.isfinite(logits).all():
        count = int((~np.isfinite(logits)).any(axis=1).sum())
        fix = "the model has diverged: lower its learning rate, or clip the logits"
        raise InputError("logits", f"NaN or infinity at {count} of {len(logits)} images", fix)


def _binary_problems(scores: Scores, labels: Labels) -> list[tuple[np.ndarray, np.ndarray]]:
    """(score, is positive) of each binary task: one for two classes, one against the rest, or one per label."""
    if labels.ndim == 2:
        known = ~np.isnan(labels)
        return [(scores[known[:, k], k], labels[known[:, k], k] == 1) for k in range(scores.shape[1])]
    if scores.shape[1] == 2:
        return [(scores[:, 1], labels == 1)]
    return [(scores[:, k], labels == k) for k in range(scores.shape[1])]


def _mean_over_problems(measure: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Scores, Labels], float]:
    """The mean of a two-class measure over all binary tasks whose labels define it."""

    def mean(scores: Scores, labels: Labels) -> float:
        values = [measure(score, positive) for score, positive in _binary_problems(scores, labels)]
        values = [value for value in values if not np.isnan(value)]
        return float(np.mean(values)) if values else float("nan")

    return mean


def _accuracy(scores: Scores, labels: Labels) -> float:
    if labels.ndim == 1:
        return float(np.mean(scores.argmax(1) == labels)) if len(labels) else float("nan")
    return _mean_over_problems(_agreement)(scores, labels)


def _agreement(score: np.ndarray, positive: np.ndarray) -> float:
    return float(np.mean((score > 0.5) == positive)) if len(score) else float("nan")


def _balanced_accuracy(scores: Scores, labels: Labels) -> float:
    if labels.ndim == 1:
        return _mean_recall(scores.argmax(1), labels)
    return _mean_over_problems(lambda score, positive: _mean_recall(score > 0.5, positive))(scores, labels)


def _mean_recall(predicted: np.ndarray, labels: np.ndarray) -> float:
    recalls = [float(np.mean(predicted[labels == k] == k)) for k in np.unique(labels)]
    return float(np.mean(recalls)) if recalls else float("nan")


def _constant_accuracy(scores: Scores, labels: Labels) -> float:
    if labels.ndim == 1:
        return float(np.bincount(labels).max() / len(labels)) if len(labels) else float("nan")
    return _mean_over_problems(
        lambda _, positive: max(positive.mean(), 1 - positive.mean()) if len(positive) else np.nan
    )(scores, labels)


def _recall_of(kind: bool) -> Callable[[Scores, Labels], float]:
    def recall(score: np.ndarray, positive: np.ndarray) -> float:
        asked = positive == kind
        return float(np.mean((score[asked] > 0.5) == kind)) if asked.any() else float("nan")

    return _mean_over_problems(recall)


def _log_loss(scores: Scores, labels: Labels) -> float:
    tiny = np.finfo(np.float64).tiny
    if labels.ndim == 1:
        return (
            float(np.mean(-np.log(np.maximum(scores[np.arange(len(labels)), labels], tiny))))
            if len(labels)
            else float("nan")
        )
    return _mean_over_problems(
        lambda score, positive: (
            float(np.mean(-np.log(np.maximum(np.where(positive, score, 1 - score), tiny)))) if len(score) else np.nan
        )
    )(scores, labels)


def _brier_score(score: np.ndarray, positive: np.ndarray) -> float:
    """Mean squared distance of probability and outcome (Brier 1950, for one of two classes: 0 to 1)."""
    return float(np.mean((score - positive) ** 2)) if len(score) else float("nan")


def calibration_slope(score: np.ndarray, positive: np.ndarray) -> float:
    """Slope b of the logistic recalibration logit P(positive) = a + b logit(score), by maximum likelihood (Cox 1958).

    1 is calibrated, below 1 overconfident, above 1 underconfident, below 0 worse than chance. NaN where the maximum does not
    exist: one class only, one score only, or scores that separate the classes. InputError as `auroc`.
    """
    score, positive = checked_scores(score, positive)
    tiny = np.finfo(np.float64).tiny
    x = np.log(np.maximum(score, tiny)) - np.log(np.maximum(1 - score.astype(np.float64), tiny))
    if not positive.any() or positive.all() or np.ptp(x) == 0:
        return float("nan")
    apart = x[positive].min() >= x[~positive].max() or x[positive].max() <= x[~positive].min()
    return float("nan") if apart else _logistic_slope((x - x.mean()) / x.std(), positive) / float(x.std())


def _logistic_slope(x: np.ndarray, positive: np.ndarray, steps: int = 100) -> float:
    """Slope of the logistic regression of `positive` on `x`: Newton's method, halving steps that lower the likelihood."""
    design, weights = np.stack([np.ones_like(x), x], axis=1), np.zeros(2)
    sign = np.where(positive, 1.0, -1.0)

    def loss(values: np.ndarray) -> float:
        return float(np.logaddexp(0, -sign * (design @ values)).sum())

    for _ in range(steps):
        chance = 0.5 * (1 + np.tanh(0.5 * (design @ weights)))
        gradient = design.T @ (positive - chance)
        step = np.linalg.solve((design.T * (chance * (1 - chance))) @ design + 1e-12 * np.eye(2), gradient)
        while loss(weights + step) > loss(weights) and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    return float(weights[1])


def _calibration_error(scores: Scores, labels: Labels) -> float:
    if labels.ndim == 1:
        return _binned_gap(scores.max(1), scores.argmax(1) == labels)
    return _mean_over_problems(_binned_gap)(scores, labels)


def _binned_gap(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and frequency over equal bins of confidence, weighted by their images (Guo et al. 2017)."""
    if not len(right):
        return float("nan")
    bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    surplus = np.bincount(bins, weights=confidence - right, minlength=_CALIBRATION_BINS)
    return float(np.abs(surplus).sum() / len(right))


METRICS: dict[str, Callable[[Scores, Labels], float]] = {
    "auroc": _mean_over_problems(auroc),
    "balanced_accuracy": _balanced_accuracy,
    "accuracy": _accuracy,
    "constant_accuracy": _constant_accuracy,
    "sensitivity": _recall_of(True),
    "specificity": _recall_of(False),
    "average_precision": _mean_over_problems(average_precision),
    "log_loss": _log_loss,
    "calibration_error": _calibration_error,
    "brier_score": _mean_over_problems(_brier_score),
}
# Recorded beside METRICS, but no objectives: their best value is neither the largest nor the smallest.
DIAGNOSTICS: dict[str, Callable[[Scores, Labels], float]] = {
    "calibration_slope": _mean_over_problems(calibration_slope),
}
RANKING = ("auroc", "average_precision")  # measures of order, computed from log-odds instead of probabilities
