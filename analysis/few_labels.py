"""Which target images to label so that a few labels compare recipes, and unbiased estimates from the labels that come back.

Patients are drawn without replacement, each with a known probability that is larger where a label would tell more (active testing): where
the recipes disagree and where their calibrated probabilities are near one half. Estimates weight each patient by the inverse of that
probability (Horvitz and Thompson 1952), so they are unbiased whatever the models believed; the models' probabilities on all images narrow
the interval (prediction-powered inference, Angelopoulos et al. 2023, with the tuned coefficient of PPI++), and so does what the labels that are
missing leave possible: recipes that answer one image of 300 differently differ in accuracy by 1/300 at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

METRICS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc")
_LINEAR = ("accuracy",)  # metrics that are a sum over images
_UNIFORM = 0.15  # share of the drawing probability that is equal for all patients: no image is left without a chance
_LEVEL = (
    0.05  # weight of each recipe's own accuracy beside the differences between recipes, where a label tells of both
)
_NOTHING = 1e-18  # sum of squares that rounding leaves
_SURE = 0.05  # probabilities are taken to be at least this far from 0 and 1: calibration is not trusted further


@dataclass(frozen=True)
class Pool:
    """The target's images as R recipes see them.

    groups str [N]: patients, whose images are labelled together; margins float [R, N]: log-odds of the positive class above the threshold
    in use, so that a positive margin is a positive call; positive float [N]: the models' common probability of the positive class.
    """

    groups: np.ndarray
    margins: np.ndarray
    positive: np.ndarray

    @property
    def patients(self) -> tuple[np.ndarray, np.ndarray]:
        """Names [G] of the patients and each image's position [N] among them."""
        names, places = np.unique(self.groups, return_inverse=True)
        return names, places


@dataclass(frozen=True)
class Sample:
    """Labelled images: positions int [n] in the pool, labels int [n] of 0 and 1, the probability [n] with which their patient was drawn."""

    images: np.ndarray
    labels: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Estimated:
    """A value on the images of the pool with its 95 % interval; `patients` were labelled."""

    value: float
    low: float
    high: float
    patients: int

    @property
    def width(self) -> float:
        """Width of the interval."""
        return self.high - self.low


def drawing_probabilities(pool: Pool, images: int, *, active: bool = True) -> np.ndarray:
    """Probability [N] of each image, equal within a patient, such that `images` images are expected to be drawn.

    Without `active` all patients are equally likely: plain random labelling.
    """
    names, places = pool.patients
    sizes = np.bincount(places, minlength=len(names)).astype(float)
    if images >= len(places):
        return np.ones(len(places))
    told = _told(pool, places) / np.sqrt(sizes)  # a patient costs as many labels as it has images
    even = np.full(len(names), 1.0)
    wish = even if not active or told.sum() <= 0 else (1 - _UNIFORM) * told / told.mean() + _UNIFORM * even
    return _scaled(wish, sizes, images)[places]


def _told(pool: Pool, places: np.ndarray) -> np.ndarray:
    """What a patient's labels are expected to tell [G]: the standard deviation of what they add to the differences between recipes.

    Half of a label's variance is taken to be common to the patient's images, so that opposite disagreements on them cancel.
    """
    p = np.clip(pool.positive, _SURE, 1 - _SURE)
    spread, calls = np.sqrt(p * (1 - p)), (pool.margins > 0).astype(float)
    pairs = [calls[a] - calls[b] for a, b in combinations(range(len(calls)), 2)]
    told = _LEVEL * np.bincount(places, p * (1 - p))
    for apart in pairs:
        together = np.bincount(places, spread * apart) ** 2
        told = told + (together + np.bincount(places, (spread * apart) ** 2)) / 2 / len(pairs)
    return np.sqrt(told)


def _scaled(wish: np.ndarray, sizes: np.ndarray, images: int) -> np.ndarray:
    """Probabilities [G] proportional to `wish`, at most 1, whose expected number of images is `images`."""
    certain = np.zeros(len(wish), dtype=bool)
    while True:
        left = images - sizes[certain].sum()
        scale = left / float((wish * sizes)[~certain].sum())
        over = ~certain & (wish * scale >= 1)
        if not over.any():
            return np.where(certain, 1.0, np.minimum(wish * scale, 1.0))
        certain |= over


def draw(pool: Pool, probability: np.ndarray, seed: np.random.Generator) -> np.ndarray:
    """Positions of the drawn images: systematic sampling over the patients in random order (Hartley and Rao 1962).

    Every patient is drawn with exactly its probability, and the number of patients is the expected one, rounded up or down.
    """
    names, places = pool.patients
    of_patient = np.zeros(len(names))
    of_patient[places] = probability
    order = seed.permutation(len(names))
    reached = np.cumsum(of_patient[order]) + seed.random()
    before = np.concatenate([[reached[0] - of_patient[order[0]]], reached[:-1]])
    hit = np.floor(reached + 1e-9) > np.floor(before + 1e-9)
    taken = np.zeros(len(names), dtype=bool)
    taken[order] = hit | (of_patient[order] >= 1)
    return np.flatnonzero(taken[places])


def estimate(
    pool: Pool, sample: Sample, metric: str, recipe: int, *, aided: bool = True, level: float = 0.95
) -> Estimated:
    """One recipe's metric on the pool; `aided` lets the models' probabilities narrow the interval."""
    value, influence = INFLUENCES[metric](pool.margins[recipe], sample)
    made = _estimated(pool, sample, value, influence, aided, level, exact=metric in _LINEAR)
    value, low, high = (float(np.clip(end, 0, 1)) for end in (made.value, made.low, made.high))
    return Estimated(value, low, high, made.patients)


def difference(
    pool: Pool, sample: Sample, metric: str, pair: tuple[int, int], *, aided: bool = True, level: float = 0.95
) -> Estimated:
    """Metric of the first recipe of `pair` minus that of the second, on the same images."""
    (a, of_a), (b, of_b) = (INFLUENCES[metric](pool.margins[recipe], sample) for recipe in pair)
    return _estimated(pool, sample, a - b, of_a - of_b, aided, level, exact=metric in _LINEAR)


def _estimated(
    pool: Pool, sample: Sample, value: float, influence: np.ndarray, aided: bool, level: float, *, exact: bool
) -> Estimated:
    """`influence` [N, 2] is what an image changes in the value when its label is 0 or 1; it sums to zero over the true labels.

    `exact`: the value changes by just that, whatever the other labels are, so that it bounds what is possible.
    """
    names, places = pool.patients
    drawn = np.unique(places[sample.images])
    inclusion = np.zeros(len(names))
    inclusion[places[sample.images]] = sample.probability
    pi = inclusion[drawn]
    seen = np.bincount(places[sample.images], influence[sample.images, sample.labels], minlength=len(names))[drawn]
    # An image whose influence is the same for both labels is known without its label, whatever the models believe.
    plain = np.bincount(places, influence.mean(axis=1), minlength=len(names))
    believed = np.bincount(
        places, influence[:, 1] * pool.positive + influence[:, 0] * (1 - pool.positive), minlength=len(names)
    )
    possible = _possible(value, influence, sample)
    if not aided:
        return _with_interval(value, seen, pi, level, possible)
    extra = believed - plain
    tuned = _coefficient(seen - plain[drawn], extra[drawn], pi)
    guess = plain + tuned * extra
    moved = value + float(guess.sum()) - float((guess[drawn] / pi).sum())
    made = _with_interval(moved, seen - guess[drawn], pi, level, possible)
    if not exact:
        return made
    low, high = max(made.low, min(possible[0], moved)), min(made.high, max(possible[1], moved))
    return Estimated(moved, low, high, made.patients)


def _coefficient(seen: np.ndarray, extra: np.ndarray, pi: np.ndarray) -> float:
    """Coefficient of the models' guess in [0, 1] that leaves the least variance."""
    weight = (1 - pi) / pi**2
    centred = [part - np.average(part, weights=weight) if weight.sum() > 0 else part for part in (seen, extra)]
    spread = float(weight @ centred[1] ** 2)
    return float(np.clip(weight @ (centred[0] * centred[1]) / spread, 0, 1)) if spread > 0 else 0.0


def _possible(value: float, influence: np.ndarray, sample: Sample) -> tuple[float, float]:
    """Least and largest value that the labels of the other images leave possible: exact for accuracy, of first order for the rest."""
    known = value + float(influence[sample.images, sample.labels].sum())
    left = np.delete(influence, sample.images, axis=0)
    return known + float(left.min(axis=1).sum()), known + float(left.max(axis=1).sum())


def _with_interval(
    value: float, residual: np.ndarray, pi: np.ndarray, level: float, possible: tuple[float, float]
) -> Estimated:
    """Hajek's variance of a sample without replacement with unequal probabilities; Student's quantile.

    A variance estimated from few residuals that differ from the others, or from none, is itself uncertain, which degrees of freedom of
    2 n / (kurtosis - 1) allow for (the moments of a sample variance; n - 1 at most). Where no residual differs, so that nothing is known of
    the others, the interval is all that is `possible`.
    """
    free = pi < 1
    count = int(free.sum())
    lowest, highest = possible
    if not count and len(pi):
        return Estimated(value, value, value, len(pi))
    if count < 2:
        return Estimated(value, lowest, highest, len(pi))
    expanded, weight = residual[free] / pi[free], 1 - pi[free]
    squares = weight * (expanded - float(np.average(expanded, weights=weight))) ** 2
    if float(squares.sum()) <= _NOTHING * (1 + float(np.abs(expanded).max())) ** 2:
        return Estimated(value, lowest, highest, len(pi))
    variance = count / (count - 1) * float(squares.sum())
    kurtosis = count * float((squares**2).sum()) / float(squares.sum()) ** 2
    freedom = min(count - 1, 2 * count / max(kurtosis - 1, 1e-9))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * float(np.sqrt(variance))
    return Estimated(value, value - half, value + half, len(pi))


Influence = Callable[[np.ndarray, Sample], tuple[float, np.ndarray]]


def _accuracy(margins: np.ndarray, sample: Sample) -> tuple[float, np.ndarray]:
    hits = np.stack([margins <= 0, margins > 0], axis=1).astype(float)
    weights = 1 / sample.probability
    value = float(np.average(hits[sample.images, sample.labels], weights=weights))
    return value, (hits - value) / len(margins)


def _recall(kind: int) -> Influence:
    def influence(margins: np.ndarray, sample: Sample) -> tuple[float, np.ndarray]:
        right = ((margins > 0) == kind).astype(float)
        weights = (sample.labels == kind) / sample.probability
        table = np.zeros((len(margins), 2))
        if weights.sum() <= 0:
            return float("nan"), np.full_like(table, np.nan)
        value = float(np.average(right[sample.images], weights=weights))
        table[:, kind] = (right - value) / weights.sum()
        return value, table

    return influence


def _balanced(margins: np.ndarray, sample: Sample) -> tuple[float, np.ndarray]:
    (low, of_low), (high, of_high) = (_recall(kind)(margins, sample) for kind in (0, 1))
    return (low + high) / 2, (of_low + of_high) / 2


def _auroc(margins: np.ndarray, sample: Sample) -> tuple[float, np.ndarray]:
    """Weighted AUROC and its influence: an image's place among the images of the other class."""
    weights, scores = 1 / sample.probability, margins[sample.images]
    parts = []
    for kind in (0, 1):
        chosen = sample.labels == kind
        if not chosen.any():
            return float("nan"), np.full((len(margins), 2), np.nan)
        below = _share_below(scores[chosen], weights[chosen], margins)
        parts.append((below, float(weights[chosen].sum())))
    (below_negative, negatives), (below_positive, positives) = parts
    is_positive = sample.labels == 1
    value = float(np.average(below_negative[sample.images][is_positive], weights=weights[is_positive]))
    table = np.stack([(1 - below_positive - value) / negatives, (below_negative - value) / positives], axis=1)
    return value, table


def _share_below(scores: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weighted share of `scores` below each of `at` [N]; equal ones count half."""
    order = np.argsort(scores)
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    left, right = (np.searchsorted(scores[order], at, side=side) for side in ("left", "right"))
    return (total[left] + total[right]) / 2 / total[-1]


INFLUENCES: dict[str, Influence] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "sensitivity": _recall(1),
    "specificity": _recall(0),
    "auroc": _auroc,
}
