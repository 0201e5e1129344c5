"""Predicted target metrics of all models of a run together, from their true metrics on the same pseudo-hospitals.

The predicted AUROC is the mean of the model's true ones over the pseudo-hospitals, weighted by nearness.
Sensitivity and specificity are those that the near hospitals' margins have at the threshold after they are moved to the target's mean. A
hospital is near when its images look like the target's (energy distance of image properties) and when the model's margins there,
re-weighted to the target's class mix, look like those on the target. Class shares are estimated with all models together in two ways, whose
mean is taken, and accuracy follows from sensitivity, specificity and them.

The interval joins two errors: how far the same prediction of each hospital, made from the other families alone, missed (conformal
prediction with weights by nearness, Tibshirani et al. 2019), and the sampling error of a metric on so few labelled images, which the
hospitals cannot show since they all show the same ones. No target label is used.

Those few images are of source validation, on which the best epoch was chosen too, so models look better on them than on other patients.
Where other labelled source images are given that training did not see, the margins of every hospital are moved and scaled, class by class,
as far as those of the images that hospitals show would have to be to have the means and spreads of all of them (`HeldOut`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.evaluation.metrics import auroc
from sweep.shift.class_mix import ClassMix, LabelledSets, best_told, class_mix, labelled_sets, share_of
from sweep.shift.estimates import NORMAL_90
from sweep.shift.margin_mixtures import Mixtures, mixtures_of
from sweep.shift.predicted_performance import COVERAGE, METRICS, HospitalResult, Prediction, margin, weighted_quantile
from sweep.shift.prevalence import towards_home

_NEAREST_SHARE = 0.25  # a bandwidth is the distance within which this share of the hospitals lies
_NARROWEST = 0.02  # bandwidth of the margins' distance at least: sampling noise of two samples of one hospital
_PRIOR_SPREAD = 0.2  # standard deviation of the target's positive share around the source's, before anything is seen
_SHARPER = 4  # power of the nearness where class shares are estimated: a move of the margins and another mix look alike from afar
_CARRIED = 0.5  # part of what held-out images correct that is taken to hold for the class mix too, on changed images
_LEAST_EFFECTIVE = 3.0  # effective number of hospitals below which nothing is vouched for
_MOST_SCALED = 2.0  # times, by which the spread of a class is corrected
_FARTHEST = 0.6  # distance of margins from which on a model behaves at the target as it does on no hospital


@dataclass(frozen=True)
class HeldOut:
    """One model on labelled source images that it was not trained on: margins [N] and labels [N] of all of them, and of those [n] that
    hospitals show."""

    margins: np.ndarray
    labels: np.ndarray
    shown_margins: np.ndarray
    shown_labels: np.ndarray

    def corrected(self, margins: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Margins [K] of a hospital as they would be if all held-out images were shown there.

        Class by class the spread is multiplied by the ratio of the spreads at home, and the mean moves by the difference of the means at
        home, times how far apart the classes are at the hospital compared with home (at most 1).
        """
        at_home = [
            _class_means(z, y) for z, y in ((self.margins, self.labels), (self.shown_margins, self.shown_labels))
        ]
        here = _class_means(margins, labels)
        apart = at_home[1][1] - at_home[1][0]
        share = float(np.clip((here[1] - here[0]) / apart, 0, 1)) if apart > 0 else 0.0
        moved = np.array(margins, dtype=np.float64)
        for kind in (0, 1):
            own, everyone, shown = (
                labels == kind,
                self.margins[self.labels == kind],
                self.shown_margins[self.shown_labels == kind],
            )
            spread = float(shown.std())
            ratio = float(np.clip(everyone.std() / spread, 1 / _MOST_SCALED, _MOST_SCALED)) if spread > 0 else 1.0
            centre = here[kind] + share * (at_home[0][kind] - at_home[1][kind])
            moved[own] = centre + ratio * (moved[own] - here[kind])
        return moved


@dataclass(frozen=True)
class ModelEvidence:
    """What may be known of one model: logits [N, 2] and labels [N] of source validation, logits [M, 2] of the target, its hospitals.

    All models of a run have the same hospitals in the same order. `distances` [K] are those of the hospitals' images to the target's,
    in the unit of `properties.energy_distance`. `threshold` is the margin from which class 1 is called; `called` instead sets every
    hospital's threshold, and the target's, so that this share of its images is called positive. `held_out` corrects for the images that
    hospitals show being few and chosen on.
    """

    source_logits: np.ndarray
    source_labels: np.ndarray
    target_logits: np.ndarray
    hospitals: Sequence[HospitalResult]
    distances: np.ndarray
    threshold: float = 0.0
    called: float | None = None
    held_out: HeldOut | None = None

    @property
    def at_home(self) -> tuple[np.ndarray, np.ndarray]:
        """Margins [N] and labels [N] on all labelled source images that the model was not trained on, as far as they are known."""
        if self.held_out is not None:
            return self.held_out.margins, self.held_out.labels
        return margin(self.source_logits), self.source_labels


@dataclass(frozen=True)
class ModelPrediction:
    """One model's predicted metrics; `weights` [K] of the hospitals; `refused` says why it cannot be vouched for, None when it can."""

    metrics: dict[str, Prediction]
    weights: np.ndarray
    refused: str | None


@dataclass(frozen=True)
class PooledPrediction:
    """The models' predictions in their order, and the target's positive share: `prevalence` is the steadier number, `mix` tells better whether
    it is another share than the source's."""

    models: tuple[ModelPrediction, ...]
    prevalence: Prediction
    mix: ClassMix


@dataclass(frozen=True)
class _Table:
    """M models on K hospitals and, last, the target (T = K + 1).

    truth [metric][M, K]; near [M, K, T]: weights; cuts [M, T]: margin from which the positive class is called. auroc [M, K] and
    at_target [M] are those of the hospitals corrected by held-out images: what the target is predicted from. `sets` are the margins on the
    hospitals of the models that the class mix is read from, as they are, `target_sets` those corrected in part, `target` those on the target.
    """

    truth: dict[str, np.ndarray]
    auroc: np.ndarray
    near: np.ndarray
    cuts: np.ndarray
    mixtures: tuple[Mixtures, ...]
    at_target: tuple[Mixtures, ...]
    families: np.ndarray
    home: float
    sets: LabelledSets
    target_sets: LabelledSets
    target: np.ndarray

    def weighed(self, place: int, near: np.ndarray) -> tuple[float, float]:
        """Positive share at a place and its standard error by generalised least squares, from hospitals that count by the geometric mean of
        their nearness [M, K] to it for all models; one that is left out for every model counts nothing."""
        weights = np.exp(np.log(np.maximum(near, 1e-12)).mean(axis=0)) * (near.sum(axis=0) > 0)
        if place == len(self.families):
            return share_of(self.target_sets, self.target, weights, self.home)
        return share_of(self.sets, self.sets.margins[:, self.sets.of_set == place], weights, self.home)


def predict_pooled(models: Sequence[ModelEvidence]) -> PooledPrediction:
    """Predictions for every model of a run of two classes.

    Raises ValueError without a model, for other numbers of classes, for fewer than two families of hospitals or hospitals that differ
    between the models.
    """
    _check(models)
    table = _table(models)
    count = len(table.families)
    everyone = np.ones(count, dtype=bool)
    at_target, (shares, share_error) = _at(table, count, everyone)
    errors = {name: np.full((len(models), count), np.nan) for name in METRICS}
    share_errors = np.full(count, np.nan)
    truth_shares = np.array([float(np.mean(one.labels == 1)) for one in models[0].hospitals])
    for place in range(count):
        others = table.families != table.families[place]
        guess, (share, _) = _at(table, place, others)
        for name in METRICS:
            errors[name][:, place] = np.abs(guess[name] - table.truth[name][:, place])
        share_errors[place] = abs(share - truth_shares[place])
    weights = table.near[:, :, count]
    halves = {name: _half(errors[name], weights) for name in METRICS}
    share_half = weighted_quantile(share_errors, weights.mean(axis=0), COVERAGE)
    found = [
        ModelPrediction(
            {name: _prediction(float(at_target[name][m]), halves[name], _noise(name, at_target, m, one, (shares, share_error))) for name in METRICS},
            weights[m] / weights[m].sum(),
            _refusal(weights[m], table.at_target[m]),
        )
        for m, one in enumerate(models)
    ]  # fmt: skip
    return PooledPrediction(
        tuple(found), Prediction(shares, max(0.0, shares - share_half), min(1.0, shares + share_half)), _mix(table)
    )


def mean_of(found: Sequence[ModelPrediction], metric: str) -> Prediction:
    """A recipe's prediction: means over its seeds, of the interval's ends too, since the seeds share most of their error."""
    rows = np.array([[getattr(one.metrics[metric], part) for part in ("value", "low", "high")] for one in found])
    return Prediction(*(float(value) for value in rows.mean(axis=0)))


def _check(models: Sequence[ModelEvidence]) -> None:
    if not models:
        raise ValueError("no model to predict for")
    if any(one.source_logits.shape[1] != 2 or one.target_logits.shape[1] != 2 for one in models):
        raise ValueError("performance is predicted for two classes")
    families = [[hospital.family for hospital in one.hospitals] for one in models]
    if any(names != families[0] for names in families) or any(len(one.distances) != len(families[0]) for one in models):
        raise ValueError("the models were evaluated on different pseudo-hospitals")
    if len(set(families[0])) < 2:
        raise ValueError(f"{len(set(families[0]))} families of pseudo-hospitals; at least two are needed")


def _table(models: Sequence[ModelEvidence]) -> _Table:
    hospitals = models[0].hospitals
    truth = {name: np.zeros((len(models), len(hospitals))) for name in METRICS}
    reached = np.zeros((len(models), len(hospitals)))
    mixtures, at_target, near, cuts = [], [], [], []
    labels = [hospital.labels for hospital in hospitals]
    for m, one in enumerate(models):
        margins = [margin(hospital.logits) for hospital in one.hospitals]
        own = margin(one.target_logits)
        for k, (y, z) in enumerate(zip(labels, margins, strict=True)):
            for name, value in true_metrics(z, y, _cut(one, z)).items():
                truth[name][m, k] = value
        unit = float(np.std(margin(one.source_logits))) or 1.0
        found = corrected = mixtures_of(margins, labels, own, unit)
        reached[m] = truth["auroc"][m]
        if one.held_out is not None:
            moved = [one.held_out.corrected(z, y) for z, y in zip(margins, labels, strict=True)]
            corrected = mixtures_of(moved, labels, own, unit)
            reached[m] = [auroc(z, y == 1) for z, y in zip(moved, labels, strict=True)]
        mixtures.append(found)
        at_target.append(corrected)
        between = np.concatenate([found.distances[:, :-1], corrected.distances[:, -1:]], axis=1)
        near.append(_nearness(between, one.distances))
        cuts.append([_cut(one, z) for z in (*margins, own)])
    telling = best_told(truth["auroc"].mean(axis=1))
    return _Table(
        truth,
        reached,
        np.array(near),
        np.array(cuts),
        tuple(mixtures),
        tuple(at_target),
        np.array([hospital.family for hospital in hospitals]),
        float(np.mean(models[0].at_home[1] == 1)),
        _labelled_sets([models[m] for m in telling], 0.0),
        _labelled_sets([models[m] for m in telling], _CARRIED),
        np.stack([margin(models[m].target_logits) for m in telling]),
    )


def _labelled_sets(models: Sequence[ModelEvidence], carried: float) -> LabelledSets:
    """The hospitals as sets that the class mix is read from, moved the part `carried` of the way that held-out images say."""
    labels = [hospital.labels for hospital in models[0].hospitals]
    moved = [
        [z if one.held_out is None else z + carried * (one.held_out.corrected(z, y) - z) for z, y in zip(of_model, labels, strict=True)]
        for one, of_model in ((one, [margin(hospital.logits) for hospital in one.hospitals]) for one in models)
    ]  # fmt: skip
    return labelled_sets(moved, labels)


def _nearness(between: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Weights [K, T] of the hospitals for predicting each hospital and, last, the target; of the target's images the properties count too."""
    count = len(images)
    near = np.stack([_kernel(between[:, place], _NARROWEST) for place in range(count + 1)], axis=1)
    if np.isfinite(images).all():
        near[:, count] = np.sqrt(near[:, count] * _kernel(images, 1e-9))
    return near


def _kernel(distances: np.ndarray, narrowest: float) -> np.ndarray:
    moved = distances - distances.min()
    width = max(narrowest, float(np.quantile(moved, _NEAREST_SHARE)))
    return np.exp(-0.5 * (moved / width) ** 2)


def _at(table: _Table, place: int, allowed: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
    """Predicted metrics [M] of every model and the positive share with its error at one place, from the hospitals `allowed` [K]."""
    near = table.near[:, :, place] * allowed
    is_target = place == len(table.families)
    mixtures, reached = (table.at_target, table.auroc) if is_target else (table.mixtures, table.truth["auroc"])
    share, error = _share(table, place, near)
    recalls = np.stack([one.recalls(place, share, cuts[place]) for one, cuts in zip(mixtures, table.cuts, strict=True)])
    means = (recalls * near[:, None]).sum(axis=2) / np.maximum(near.sum(axis=1), 1e-300)[:, None]
    found = {"auroc": (reached * near).sum(axis=1) / np.maximum(near.sum(axis=1), 1e-300)}
    found |= {"specificity": means[:, 0], "sensitivity": means[:, 1]}
    found["balanced_accuracy"] = (found["sensitivity"] + found["specificity"]) / 2
    found["accuracy"] = share * found["sensitivity"] + (1 - share) * found["specificity"]
    return found, (share, error)


def _share(table: _Table, place: int, near: np.ndarray) -> tuple[float, float]:
    """Positive share at a place and its standard error, with a normal prior around the source's share.

    The mean of two estimates that err differently: what every model and hospital says, and generalised least squares. Their errors are
    taken to be fully correlated.
    """
    mixtures = table.at_target if place == len(table.families) else table.mixtures
    both = [
        towards_home(*found, table.home, _PRIOR_SPREAD)
        for found in (_pooled_share(mixtures, place, near, table.home), table.weighed(place, near))
    ]
    (a, of_a), (b, of_b) = both
    return (a + b) / 2, (of_a + of_b) / 2


def _pooled_share(mixtures: Sequence[Mixtures], place: int, near: np.ndarray, home: float) -> tuple[float, float]:
    """The mean over models and hospitals, weighted by nearness and by how far apart the classes' margins are there, and their spread."""
    apart = np.stack([one.apart for one in mixtures])
    shares = np.stack([one.shares[:, place] for one in mixtures])
    weights = near**_SHARPER * apart
    if weights.sum() <= 0:
        return home, float("inf")
    seen = float(np.average(shares, weights=weights))
    spread = float(np.average((shares - seen) ** 2, weights=weights)) + 1e-4
    return seen, float(np.sqrt(spread))


def _mix(table: _Table) -> ClassMix:
    """The target's class mix."""
    place = len(table.families)
    return class_mix(*table.weighed(place, table.near[:, :, place]), table.home)


def _half(errors: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(errors)
    return weighted_quantile(errors[known], weights[known], COVERAGE) if known.any() else 1.0


def _noise(name: str, at_target: dict[str, np.ndarray], m: int, one: ModelEvidence, mix: tuple[float, float]) -> float:
    """Standard error of a metric on the labelled source images and on the target's images together; accuracy's moves with the class mix."""
    share, share_error = mix
    seen = one.hospitals[0].labels if one.held_out is None else one.held_out.labels
    home = float(np.mean(seen == 1))
    value = float(np.clip(at_target[name][m], 0.02, 0.98))
    sizes = ((len(seen), home), (len(one.target_logits), float(np.clip(share, 0.05, 0.95))))
    moved = share_error * (at_target["sensitivity"][m] - at_target["specificity"][m]) if name == "accuracy" else 0.0
    return float(np.sqrt(sum(_variance(name, value, images, part) for images, part in sizes) + moved**2))


def _variance(name: str, value: float, images: int, share: float) -> float:
    """Sampling variance of a metric on `images` images (AUROC: Hanley and McNeil 1982; else binomial)."""
    positives, negatives = max(1.0, images * share), max(1.0, images * (1 - share))
    if name == "auroc":
        q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
        spread = value * (1 - value) + (positives - 1) * (q1 - value**2) + (negatives - 1) * (q2 - value**2)
        return spread / (positives * negatives)
    binomial = value * (1 - value)
    return {
        "accuracy": binomial / images,
        "sensitivity": binomial / positives,
        "specificity": binomial / negatives,
        "balanced_accuracy": binomial * (1 / positives + 1 / negatives) / 4,
    }[name]


def _prediction(value: float, half: float, noise: float) -> Prediction:
    whole = float(np.hypot(half, NORMAL_90 * noise))
    return Prediction(value, max(0.0, value - whole), min(1.0, value + whole))


def _refusal(weights: np.ndarray, mixtures: Mixtures) -> str | None:
    nearest = float(mixtures.distances[:, -1].min())
    if nearest > _FARTHEST:
        return (
            f"it answers the target's images as it answers those of no pseudo-hospital: the nearest distribution of margins is {nearest:.1f} "
            f"away, more than {_FARTHEST:g}"
        )
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if effective < _LEAST_EFFECTIVE:
        return f"only {effective:.1f} pseudo-hospitals resemble the target for it, fewer than {_LEAST_EFFECTIVE:g}"
    return None


def _class_means(margins: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return float(margins[labels == 0].mean()), float(margins[labels == 1].mean())


def _cut(one: ModelEvidence, z: np.ndarray) -> float:
    return one.threshold if one.called is None else float(np.quantile(z, 1 - one.called))


def true_metrics(z: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float]:
    """METRICS of margins [N] and labels [N] of 0 and 1; class 1 is called above `threshold`."""
    positive, called = labels == 1, z > threshold
    sensitivity, specificity = float(np.mean(called[positive])), float(np.mean(~called[~positive]))
    return {
        "auroc": auroc(z, positive),
        "accuracy": float(np.mean(called == positive)),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
