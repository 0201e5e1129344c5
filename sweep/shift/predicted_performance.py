"""Predicted target metrics of one model from its true metrics on pseudo-hospitals, with an interval and the right to refuse.

A pseudo-hospital counts by how much the model treats it like the target: by the Wasserstein distance between the model's margins on
both (two classes: difference of the logits), in units of the spread of its margins on source validation. The prediction is a local
linear regression of the true metrics there on the margins' mean, spread and share of positive calls, evaluated at the target; its
interval comes from the errors of the same prediction made for each pseudo-hospital from
the hospitals of the other families, weighted by nearness to the target (split conformal prediction under covariate shift,
Tibshirani et al. 2019). No target label is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.core.metric_table import PREDICTED_METRICS
from sweep.evaluation.metrics import auroc
from sweep.shift.estimates import from_confusion

METRICS = PREDICTED_METRICS
COVERAGE = 0.9
_NEAREST_SHARE = 0.25  # the bandwidth is the distance within which this share of the hospitals lies
_NARROWEST = 0.1  # bandwidth at least, in spreads of the source margins: sampling noise of a margin distribution
_LEAST_EFFECTIVE = 5.0  # effective number of hospitals below which nothing is vouched for
_RIDGE = 0.02  # of the slopes, times the total weight: few hospitals near the target then give the weighted mean
_FARTHEST = 1.0  # a target farther than this from its nearest hospital resembles none of them


@dataclass(frozen=True)
class HospitalResult:
    """One model on one pseudo-hospital: its family, logits float [N, 2] and labels int [N]."""

    family: str
    logits: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """A predicted metric with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PredictedPerformance:
    """Predictions by metric; `refused` says why they cannot be vouched for, None when they can.

    weights [K] are the hospitals' weights, distances [K] their distances to the target in spreads of the source margins.
    """

    metrics: Mapping[str, Prediction]
    weights: np.ndarray
    distances: np.ndarray
    refused: str | None


def predict(
    source_logits: np.ndarray, target_logits: np.ndarray, hospitals: Sequence[HospitalResult], threshold: float = 0.0
) -> PredictedPerformance:
    """Predicted metrics at the target for a model of two classes; `threshold` is the margin from which class 1 is called.

    source_logits [N, 2] are of source validation, target_logits [M, 2] of the unlabelled target. Raises ValueError for fewer than two
    families of hospitals or other numbers of classes.
    """
    if source_logits.shape[1] != 2 or target_logits.shape[1] != 2:
        raise ValueError(f"{target_logits.shape[1]} classes; performance is predicted for two")
    families = np.array([hospital.family for hospital in hospitals])
    if len(np.unique(families)) < 2:
        raise ValueError(f"{len(np.unique(families))} families of pseudo-hospitals; at least two are needed")
    margins, own = [margin(hospital.logits) for hospital in hospitals], margin(target_logits)
    spread = float(np.std(margin(source_logits))) or 1.0
    summaries = np.stack([_summary(z, threshold, spread) for z in (*margins, own)])
    truth = {name: np.array([_metric(name, hospital, threshold) for hospital in hospitals]) for name in METRICS}
    distances = _distances(own, margins, spread)
    between = np.array([_distances(z, margins, spread) for z in margins])
    weights = kernel(distances)
    columns = {"auroc": slice(0, 2)}  # no threshold moves the AUROC
    predictions = {
        name: _predicted(values, weights, between, families, summaries[:, columns.get(name, slice(None))])
        for name, values in truth.items()
    }
    return PredictedPerformance(predictions, weights, distances, _refusal(weights, distances))


def margin(logits: np.ndarray) -> np.ndarray:
    """Logit of class 1 less that of class 0, float64 [N]."""
    return np.asarray(logits[:, 1], dtype=np.float64) - logits[:, 0]


def kernel(distances: np.ndarray) -> np.ndarray:
    """Weights [K] that sum to 1: a Gaussian in the distance, as wide as the nearest quarter of the hospitals."""
    width = max(_NARROWEST, float(np.quantile(distances, _NEAREST_SHARE)))
    weights = np.exp(-0.5 * ((distances - distances.min()) / width) ** 2)
    return weights / weights.sum()


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value at which the weights of the values up to it reach `share` of their sum."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def local_linear(values: np.ndarray, summaries: np.ndarray, at: np.ndarray, weights: np.ndarray) -> float:
    """Weighted ridge regression of values [K] on summaries [K, D], evaluated at `at` [D] and cut to [0, 1]."""
    moved = np.concatenate([np.ones((len(values), 1)), summaries - at], axis=1)
    penalty = _RIDGE * weights.sum() * np.diag([0.0] + [1.0] * summaries.shape[1])
    gram = (moved * weights[:, None]).T @ moved + penalty
    return float(np.clip(np.linalg.solve(gram, moved.T @ (weights * values))[0], 0, 1))


def _predicted(
    values: np.ndarray, weights: np.ndarray, between: np.ndarray, families: np.ndarray, summaries: np.ndarray
) -> Prediction:
    """`summaries` [K + 1, D]: those of the hospitals, and the target's last."""
    known = ~np.isnan(values)
    if not known.any():
        return Prediction(float("nan"), float("nan"), float("nan"))
    value = local_linear(values[known], summaries[:-1][known], summaries[-1], weights[known])
    errors, counted = [], []
    for index in np.flatnonzero(known):
        others = known & (families != families[index])
        if others.any():
            near = kernel(between[index][others])
            guess = local_linear(values[others], summaries[:-1][others], summaries[index], near)
            errors.append(abs(values[index] - guess))
            counted.append(weights[index])
    half = weighted_quantile(np.array(errors), np.array(counted), COVERAGE) if errors else 1.0
    return Prediction(value, max(0.0, value - half), min(1.0, value + half))


def _summary(z: np.ndarray, threshold: float, spread: float) -> np.ndarray:
    """Mean and standard deviation of margins in spreads of the source margins, and the share of positive calls."""
    return np.array([z.mean() / spread, z.std() / spread, float(np.mean(z > threshold))])


def _refusal(weights: np.ndarray, distances: np.ndarray) -> str | None:
    effective = 1 / float((weights**2).sum())
    if distances.min() > _FARTHEST:
        return (
            f"the target is unlike every pseudo-hospital: the nearest lies {distances.min():.1f} spreads of the source margins away,"
            f" more than {_FARTHEST:g}"
        )
    if effective < _LEAST_EFFECTIVE:
        return f"only {effective:.1f} pseudo-hospitals resemble the target, fewer than {_LEAST_EFFECTIVE:g}"
    return None


def _distances(own: np.ndarray, others: Sequence[np.ndarray], spread: float) -> np.ndarray:
    from scipy.stats import wasserstein_distance  # here: half a second of every worker process that does not need it

    return np.array([wasserstein_distance(own, other) / spread for other in others])


def _metric(name: str, hospital: HospitalResult, threshold: float) -> float:
    z, labels = margin(hospital.logits), hospital.labels
    if name == "auroc":
        return auroc(z, labels == 1)
    confusion = np.zeros((2, 2))
    np.add.at(confusion, (labels, (z > threshold).astype(int)), 1)
    return from_confusion(confusion)[name]
