"""Per-image outcomes of one configuration as arrays: seeds by images, with the patients they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

import numpy as np
import pandas as pd

# S seeds, N images, B bootstrap draws, K classes.
Measure = Callable[["Outcomes", np.ndarray], np.ndarray]
_PAIRS_AT_ONCE = 1_000_000  # positives x negatives; beyond, sorting is cheaper


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of S seeds on N images.

    `values` is float [S, N, K] logits or [S, N] hits (0 or 1); where a seed did not see an image, `seen` [S, N] is False.
    Of several findings an image, every logit answers one of them.
    """

    images: np.ndarray  # str [N]
    groups: np.ndarray  # str [N], the patient, or the image itself where unknown
    labels: np.ndarray  # int [N]; of several findings an image float [N, K] of 1, 0 and NaN (not known)
    seeds: tuple[int, ...]
    values: np.ndarray
    seen: np.ndarray  # bool [S, N]

    def take(self, seeds: list[int], images: np.ndarray) -> Outcomes:
        """The outcomes of some seeds on some images (indices into both)."""
        return replace(
            self,
            images=self.images[images],
            groups=self.groups[images],
            labels=self.labels[images],
            seeds=tuple(self.seeds[i] for i in seeds),
            values=self.values[seeds][:, images],
            seen=self.seen[seeds][:, images],
        )

    @property
    def multi_label(self) -> bool:
        """Whether these are logits of several findings an image."""
        return self.labels.ndim == 2 and self.values.ndim == 3

    def finding(self, number: int) -> tuple[Outcomes, np.ndarray]:
        """One finding as a two-class task, on the images where it is known; and those images' positions."""
        known = np.flatnonzero(~np.isnan(self.labels[:, number]))
        part = self.take(list(range(len(self.seeds))), known)
        logits = part.values[:, :, number]
        values = np.stack([np.zeros_like(logits), logits], axis=2)
        return replace(part, labels=part.labels[:, number].astype(int), values=values), known


def prediction_outcomes(predictions: pd.DataFrame, split: str) -> Outcomes | None:
    """Logits on one split; None when there are none."""
    rows = predictions[predictions["split"] == split] if len(predictions) else predictions
    if not len(rows):
        return None
    return _arrange(rows, np.stack(rows["logits"].to_numpy()).astype(np.float64))


def robust_outcomes(attacks: pd.DataFrame, split: str, eps: float, threat: str = "worst") -> Outcomes | None:
    """Hits under a threat at `eps` (pixel units in [0, 1]); 'worst' is the worst threat per image. None when absent."""
    rows = attacks[attacks["split"] == split] if len(attacks) else attacks
    if threat != "worst" and len(rows):
        rows = rows[rows["threat"] == threat]
    if not len(rows):
        return None
    rows = rows.groupby(["seed", "image_id"], as_index=False, sort=False).agg(
        {"group": "first", _truth(rows): "first", "breaking_eps": "min"}
    )
    return _arrange(rows, (rows["breaking_eps"].to_numpy() > eps + 1e-9).astype(np.float64))


def attacked_logits(predicted: Outcomes, stands: Outcomes, *, clean: bool = False) -> Outcomes | None:
    """Logits of two classes on the attacked images, where a broken image gets the lowest rank that its own class can have.

    A lower bound of what ranking is left under attack: the attacker is credited with moving an image past the whole other class.
    `clean` leaves the logits alone (epsilon 0). None outside two classes, or where images or seeds were attacked but not predicted.
    """
    if (
        predicted.values.shape[-1] != 2
        or predicted.multi_label
        or not set(stands.images) <= set(predicted.images)
        or not set(stands.seeds) <= set(predicted.seeds)
    ):
        return None
    place = {image: position for position, image in enumerate(predicted.images)}
    part = predicted.take(
        [predicted.seeds.index(seed) for seed in stands.seeds], np.array([place[image] for image in stands.images])
    )
    if clean:
        return part
    worst = np.where(stands.labels == 1, -np.inf, np.inf)
    gap = np.where(stands.values > 0, part.values[:, :, 1] - part.values[:, :, 0], worst)
    return replace(part, values=np.stack([np.zeros_like(gap), gap], axis=2), seen=part.seen & stands.seen)


def _arrange(rows: pd.DataFrame, values: np.ndarray) -> Outcomes:
    images, first, column = np.unique(rows["image_id"].to_numpy(str), return_index=True, return_inverse=True)
    seeds, line = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    grid = np.zeros((len(seeds), len(images), *values.shape[1:]))
    grid[line, column] = values
    seen = np.zeros((len(seeds), len(images)), dtype=bool)
    seen[line, column] = True
    groups = rows["group"].fillna("").to_numpy(str)[first]
    groups = np.where(groups == "", images, groups)
    truth = rows[_truth(rows)].iloc[first]
    labels = truth.to_numpy(int) if truth.name == "label" else np.stack(truth.to_numpy()).astype(float)
    return Outcomes(images, groups, labels, tuple(int(s) for s in seeds), grid, seen)


def _truth(rows: pd.DataFrame) -> str:
    return "labels" if "labels" in rows else "label"


def _over_findings(measure: Measure) -> Measure:
    """The measure itself, or its mean over the findings of which both kinds are known."""

    @wraps(measure)
    def mean(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
        if not outcomes.multi_label:
            return measure(outcomes, weights)
        parts = [outcomes.finding(number) for number in range(outcomes.labels.shape[1])]
        values = [measure(part, weights[:, known]) for part, known in parts if len(np.unique(part.labels)) == 2]
        if not values:
            return np.full((len(weights), len(outcomes.seeds)), np.nan)
        defined = ~np.isnan(values)  # a draw may lack one kind of a rare finding
        with np.errstate(invalid="ignore"):
            return np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)

    return mean


@_over_findings
def accuracy(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted share of right answers (hits where `values` are hits) [B, S]; `weights` is float [B, N]."""
    hits = _hits(outcomes)
    return (weights @ (hits * outcomes.seen).T) / (weights @ outcomes.seen.T)


@_over_findings
def balanced_accuracy(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of the weighted recall [B, S]."""
    hits = _hits(outcomes)
    recalls = []
    for label in np.unique(outcomes.labels):
        of_class = outcomes.seen & (outcomes.labels == label)
        recalls.append((weights @ (hits * of_class).T) / (weights @ of_class.T))
    return np.mean(recalls, axis=0)


@_over_findings
def auroc(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve [B, S]; with K > 2 classes the mean over one-against-rest areas."""
    return np.stack([_auroc_of_seed(outcomes, weights, seed) for seed in range(len(outcomes.seeds))], axis=1)


MEASURES: dict[str, Measure] = {"auroc": auroc, "balanced_accuracy": balanced_accuracy, "accuracy": accuracy}


def _hits(outcomes: Outcomes) -> np.ndarray:
    if outcomes.values.ndim == 2:
        return outcomes.values
    return (outcomes.values.argmax(axis=2) == outcomes.labels).astype(np.float64)


def _auroc_of_seed(outcomes: Outcomes, weights: np.ndarray, seed: int) -> np.ndarray:
    seen = outcomes.seen[seed]
    logits, labels = outcomes.values[seed, seen], outcomes.labels[seen]
    weights = weights if seen.all() else weights[:, seen]
    classes = logits.shape[1]
    if classes == 2:
        return weighted_auroc(logits[:, 1] - logits[:, 0], labels == 1, weights)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    present = [k for k in range(classes) if 0 < (labels == k).sum() < len(labels)]
    return np.mean([weighted_auroc(shares[:, k], labels == k, weights) for k in present], axis=0)


def weighted_auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve per row of `weights` [B, N]; ties count half; NaN where a class has no weight."""
    few = positive.sum() * (~positive).sum() <= _PAIRS_AT_ONCE
    with np.errstate(invalid="ignore", divide="ignore"):
        return (_auroc_by_pairs if few else _auroc_by_order)(scores, positive, weights)


def _auroc_by_pairs(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # One matrix product over all pairs: fifteen times as fast as sorting at 240 images.
    above = scores[positive][:, None] - scores[~positive][None, :]
    plus, minus = weights[:, positive], weights[:, ~positive]
    won = np.einsum("bn,bn->b", plus @ ((above > 0) + 0.5 * (above == 0)), minus)
    return won / (plus.sum(axis=1) * minus.sum(axis=1))


def _auroc_by_order(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    weights, positive = weights[:, order], positive[order]
    plus = np.add.reduceat(weights * positive, starts, axis=1)
    minus = np.add.reduceat(weights * ~positive, starts, axis=1)
    below = np.cumsum(minus, axis=1) - 0.5 * minus
    return (plus * below).sum(axis=1) / (plus.sum(axis=1) * minus.sum(axis=1))
