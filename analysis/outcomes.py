"""Per-image outcomes of one configuration as arrays: seeds by images, with the patients they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

import numpy as np
import pandas as pd
from scipy import special

from analysis.order_measures import weighted_auroc, weighted_average_precision

# S seeds, N images, B bootstrap draws, K classes.
Measure = Callable[["Outcomes", np.ndarray], np.ndarray]
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of S seeds on N images.

    `values` is float [S, N, K] logits or [S, N] hits (0 or 1); where a seed did not see an image, `seen` [S, N] is False.
    Of several findings an image, every logit answers one of them.
    """

    images: np.ndarray  # str [N]
    groups: np.ndarray  # str [N], the patient, or the image itself where unknown
    labels: np.ndarray  # int [N]; of several findings an image float [N, K] of 1, 0 and NaN
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

    def of_class(self, number: int) -> tuple[Outcomes, np.ndarray]:
        """One class against the rest, or one finding, as a two-class task on the images where it is known; and those images' positions."""
        if self.multi_label:
            return self.finding(number)
        _, margins = binary_tasks(self)[number]
        values = np.stack([np.zeros_like(margins), margins], axis=2)
        return replace(self, labels=(self.labels == number).astype(int), values=values), np.arange(len(self.images))

    def finding(self, number: int) -> tuple[Outcomes, np.ndarray]:
        """One finding as a two-class task, on the images where it is known; and those images' positions."""
        known = np.flatnonzero(~np.isnan(self.labels[:, number]))
        part = self.take(list(range(len(self.seeds))), known)
        logits = part.values[:, :, number]
        values = np.stack([np.zeros_like(logits), logits], axis=2)
        return replace(part, labels=part.labels[:, number].astype(int), values=values), known


def prediction_outcomes(predictions: pd.DataFrame, split: str) -> Outcomes | None:
    """Logits on the labelled images of one split; None when there are none."""
    rows = _labelled(predictions[predictions["split"] == split] if len(predictions) else predictions)
    if not len(rows):
        return None
    return _arrange(rows, np.stack(rows["logits"].to_numpy()).astype(np.float64))


def breaking_outcomes(attacks: pd.DataFrame, split: str, threat: str = "worst") -> Outcomes | None:
    """Breaking epsilons under a threat (pixel units, inf where none breaks); 'worst' is the smallest of all threats. None when absent."""
    rows = _labelled(attacks[attacks["split"] == split] if len(attacks) else attacks)
    rows = rows if threat == "worst" or not len(rows) else rows[rows["threat"] == threat]
    if not len(rows):
        return None
    rows = rows.sort_values("breaking_eps", kind="stable").drop_duplicates(["seed", "image_id"])
    return _arrange(rows, rows["breaking_eps"].to_numpy(np.float64))


def standing_at(breaking: Outcomes, eps: float) -> Outcomes:
    """Hits at `eps` from `breaking_outcomes`: the images that only a larger epsilon breaks."""
    return replace(breaking, values=((breaking.values > eps + 1e-9) & breaking.seen).astype(np.float64))


def acquisition_outcomes(changes: pd.DataFrame, split: str, change: str, severity: int) -> Outcomes | None:
    """Logits under one acquisition change at one severity, or hits under the worst change per image; None where no logits were kept.

    As in the records, an image with several findings is hit in the worst case where all known findings are right.
    """
    if not len(changes) or "logits" not in changes:
        return None
    rows = _labelled(changes[(changes["split"] == split) & (changes["severity"] == severity)])
    if change != "worst":
        rows = rows[rows["change"] == change]
    if not len(rows):
        return None
    by_change = [
        _arrange(part, np.stack(part["logits"].to_numpy()).astype(np.float64)) for _, part in rows.groupby("change")
    ]
    if change != "worst":
        return by_change[0]
    return replace(by_change[0], values=np.min([_all_right(one) for one in by_change], axis=0))


def _all_right(outcomes: Outcomes) -> np.ndarray:
    """Hits [S, N] of logits; of several findings all known ones must be right."""
    if outcomes.labels.ndim == 1:
        return _hits(outcomes)
    right = ((outcomes.values > 0) == (outcomes.labels == 1)) | np.isnan(outcomes.labels)
    return right.all(axis=2).astype(np.float64)


def attacked_logits(predicted: Outcomes, stands: Outcomes, *, clean: bool = False) -> Outcomes | None:
    """Logits on the attacked images, where a broken image gets the lowest rank that its own class can have.

    A lower bound of what ranking is left under attack: the attacker is credited with moving an image past all of the other kind. More than
    two classes become one task a class against the rest, in the form of several findings an image. `clean` leaves the logits alone
    (epsilon 0). None where images or seeds were attacked but not predicted.
    """
    if not set(stands.images) <= set(predicted.images) or not set(stands.seeds) <= set(predicted.seeds):
        return None
    place = {image: position for position, image in enumerate(predicted.images)}
    part = predicted.take(
        [predicted.seeds.index(seed) for seed in stands.seeds], np.array([place[image] for image in stands.images])
    )
    if clean:
        return part
    standing, seen = stands.values > 0, part.seen & stands.seen
    if part.multi_label:
        lost = np.where(part.labels == 1, -np.inf, np.inf)
        return replace(part, values=np.where(standing[:, :, None], part.values, lost), seen=seen)
    tasks = binary_tasks(part)
    margins = [np.where(standing, margin, np.where(part.labels == k, -np.inf, np.inf)) for k, margin in tasks]
    if len(tasks) == 1:
        return replace(part, values=np.stack([np.zeros_like(margins[0]), margins[0]], axis=2), seen=seen)
    labels = np.stack([(part.labels == k).astype(float) for k, _ in tasks], axis=1)
    return replace(part, labels=labels, values=np.stack(margins, axis=2), seen=seen)


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


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Without images of which nothing is known, such as those of a target whose labels are sealed: what they show has no right or wrong."""
    if not len(rows):
        return rows
    if _truth(rows) == "label":
        return rows[rows["label"].to_numpy() >= 0]
    return rows[[not np.isnan(np.asarray(known, dtype=float)).all() for known in rows["labels"]]]


def _truth(rows: pd.DataFrame) -> str:
    return "labels" if "labels" in rows else "label"


def _over_findings(measure: Measure) -> Measure:
    """The measure itself, or its mean over the findings that define it, image weights as they are."""

    @wraps(measure)
    def mean(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
        if not outcomes.multi_label:
            return measure(outcomes, weights)
        parts = [outcomes.finding(number) for number in range(outcomes.labels.shape[1])]
        values = np.stack([measure(part, weights[:, known]) for part, known in parts])
        defined = ~np.isnan(values)  # a draw may lack one kind of a rare finding
        with np.errstate(invalid="ignore"):
            return np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)

    return mean


def _share(hits: np.ndarray, asked: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of `hits` among the images `asked` (both [S, N]) for each row of weights [B, S]; NaN where none is asked."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: np.ndarray = (weights @ (hits * asked).T) / (weights @ asked.astype(float).T)
    return share


@_over_findings
def accuracy(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted share of right answers (hits where `values` are hits) [B, S]; `weights` is float [B, N]."""
    return _share(_hits(outcomes), outcomes.seen, weights)


@_over_findings
def balanced_accuracy(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of the weighted recall [B, S]."""
    hits = _hits(outcomes)
    of_classes = (outcomes.seen & (outcomes.labels == label) for label in np.unique(outcomes.labels))
    recalls = [_share(hits, asked, weights) for asked in of_classes]
    return np.mean(recalls, axis=0) if recalls else np.full((len(weights), len(outcomes.seeds)), np.nan)


@_over_findings
def sensitivity(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted recall of the positive class at probability 0.5 [B, S]; with K > 2 classes the mean over one against the rest."""
    return _mean_recall(outcomes, weights, positive=True)


@_over_findings
def specificity(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted recall of the negative class at probability 0.5 [B, S]; with K > 2 classes the mean over one against the rest."""
    return _mean_recall(outcomes, weights, positive=False)


def _mean_recall(outcomes: Outcomes, weights: np.ndarray, *, positive: bool) -> np.ndarray:
    recalls = []
    for k, margins in binary_tasks(outcomes):
        asked = outcomes.seen & ((outcomes.labels == k) == positive)
        if asked.any():
            recalls.append(_share((margins > 0) == positive, asked, weights))
    return np.mean(recalls, axis=0) if recalls else np.full((len(weights), len(outcomes.seeds)), np.nan)


@_over_findings
def constant_accuracy(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted share of the commonest class [B, S]: what a predictor that always names it gets right."""
    of_classes = (outcomes.labels == label for label in np.unique(outcomes.labels))
    shares = [_share(np.broadcast_to(one, outcomes.seen.shape), outcomes.seen, weights) for one in of_classes]
    return np.max(shares, axis=0) if shares else np.full((len(weights), len(outcomes.seeds)), np.nan)


@_over_findings
def log_loss(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the negative log-probability of the true class in nats [B, S]."""
    surprise = special.logsumexp(outcomes.values, axis=2) - np.take_along_axis(
        outcomes.values, outcomes.labels[None, :, None], axis=2
    ).squeeze(2)
    return _share(np.minimum(surprise, -np.log(np.finfo(np.float64).tiny)), outcomes.seen, weights)


@_over_findings
def brier_score(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted mean squared distance of probability and outcome [B, S]; with K > 2 classes the mean over one against the rest."""
    scores = [
        _share((special.expit(odds) - (outcomes.labels == k)) ** 2, outcomes.seen, weights)
        for k, odds in binary_tasks(outcomes)
    ]
    return np.mean(scores, axis=0)


def calibration_error(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted expected calibration error over 15 equal bins (Guo et al. 2017) [B, S]; of findings the mean over them.

    The confidence is that of the predicted class; of a finding, the probability that it is present.
    """
    if not outcomes.multi_label:
        logits = outcomes.values
        confidence = np.exp(logits.max(axis=2) - special.logsumexp(logits, axis=2))
        return _binned_gap(confidence, _hits(outcomes), outcomes.seen, weights)
    gaps = []
    for number in range(outcomes.labels.shape[1]):
        part, known = outcomes.finding(number)
        present = np.broadcast_to(part.labels == 1, part.seen.shape).astype(float)
        gaps.append(_binned_gap(special.expit(part.values[:, :, 1]), present, part.seen, weights[:, known]))
    return np.nanmean(np.stack(gaps), axis=0)


def _binned_gap(confidence: np.ndarray, right: np.ndarray, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    columns = []
    for seed in range(len(confidence)):
        surplus = (confidence[seed] - right[seed]) * seen[seed]
        by_bin = [weights @ (surplus * (bins[seed] == place)) for place in np.unique(bins[seed])]
        with np.errstate(invalid="ignore", divide="ignore"):
            columns.append(np.abs(by_bin).sum(axis=0) / (weights @ seen[seed].astype(float)))
    return np.stack(columns, axis=1)


@_over_findings
def auroc(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve [B, S]; with K > 2 classes the mean over one-against-rest areas."""
    return _mean_over_tasks(outcomes, weights, weighted_auroc)


@_over_findings
def average_precision(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Weighted area under precision and recall as a step sum [B, S]; with K > 2 classes the mean over one against the rest."""
    return _mean_over_tasks(outcomes, weights, weighted_average_precision)


def _mean_over_tasks(
    outcomes: Outcomes, weights: np.ndarray, area: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    columns = []
    for seed in range(len(outcomes.seeds)):
        seen = outcomes.seen[seed]
        labels, drawn = outcomes.labels[seen], weights if seen.all() else weights[:, seen]
        areas = [
            area(margins[seed, seen], labels == k, drawn)
            for k, margins in binary_tasks(outcomes)
            if 0 < (labels == k).sum() < len(labels)
        ]
        columns.append(np.mean(areas, axis=0) if areas else np.full(len(weights), np.nan))
    return np.stack(columns, axis=1)


def binary_tasks(outcomes: Outcomes) -> list[tuple[int, np.ndarray]]:
    """(class, its log-odds [S, N]) of each two-class task: one for two classes, else one against the rest.

    Log-odds order images as probabilities do, without the ties of probabilities that round to 0 or 1.
    """
    logits = outcomes.values
    if logits.shape[2] == 2:
        return [(1, logits[:, :, 1] - logits[:, :, 0])]
    classes = range(logits.shape[2])
    return [(k, logits[:, :, k] - special.logsumexp(np.delete(logits, k, axis=2), axis=2)) for k in classes]


MEASURES: dict[str, Measure] = {
    "auroc": auroc,
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "constant_accuracy": constant_accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "calibration_error": calibration_error,
    "brier_score": brier_score,
}
# Measures whose value depends on how common each class is: the class mix of the test set is chance for them too.
OF_CLASS_MIX: tuple[Measure, ...] = (
    accuracy,
    constant_accuracy,
    average_precision,
    log_loss,
    calibration_error,
    brier_score,
)


def cases(outcomes: Outcomes, measure: Measure) -> int:
    """Patients that a measure really rests on: of the smallest class where it averages over classes, of one class where it asks one.

    All patients for a mean over images. Of several findings, the smallest of them counts.
    """
    if measure in (accuracy, constant_accuracy, log_loss, calibration_error, brier_score):
        return len(np.unique(outcomes.groups))
    if outcomes.labels.ndim == 2:
        kinds = [
            outcomes.groups[outcomes.labels[:, k] == kind] for k in range(outcomes.labels.shape[1]) for kind in (0, 1)
        ]
    elif measure in (sensitivity, specificity) and outcomes.values.ndim == 3 and outcomes.values.shape[2] == 2:
        kinds = [outcomes.groups[(outcomes.labels == 1) == (measure is sensitivity)]]
    else:
        kinds = [outcomes.groups[outcomes.labels == label] for label in np.unique(outcomes.labels)]
    return min((len(np.unique(kind)) for kind in kinds if len(kind)), default=0)


def _hits(outcomes: Outcomes) -> np.ndarray:
    if outcomes.values.ndim == 2:
        return outcomes.values
    return (outcomes.values.argmax(axis=2) == outcomes.labels).astype(np.float64)
