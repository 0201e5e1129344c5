"""Positive share of an unlabelled target from several models together, against labelled sets of images that they treat much like it.

Every model's margins are squashed to numbers between -1 and 1, so that the mean of each over the target lies between its means over the two
classes as the share says. Generalised least squares then weighs models by how far apart they see the classes, less what the labelled sets
(pseudo-hospitals) disagree about and the sampling error of all means: a difference that another scanner makes too tells nothing of the mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_PLACES = (0.25, 0.75)  # quantiles: two of them show another shape, which a move of all margins does not make
_DESIGN_EFFECT = (
    2.0  # variance of a mean over images of patients with two or three views, times that over unrelated images
)
_RIDGE = 2e-4  # of squared feature units: no direction is known better than to .014
_MOST_MODELS = 3  # those that tell the classes apart best: covariances come from a few dozen images of a class
_ROUNDS = 3  # the covariance depends on the share a little
_SAME = 0.03  # standard deviation of the share among hospitals with the same kind of patients
_GRID = np.linspace(0, 1, 401)


@dataclass(frozen=True)
class ClassMix:
    """The positive share with its 90 % interval, and the probability that it is another one than the source's."""

    value: float
    low: float
    high: float
    changed: float


@dataclass(frozen=True)
class LabelledSets:
    """Margins [M, N] of M models on the images of K labelled sets, one set after the other; labels int [N] of 0 and 1, `of_set` int [N]."""

    margins: np.ndarray
    labels: np.ndarray
    of_set: np.ndarray


def labelled_sets(margins: Sequence[Sequence[np.ndarray]], labels: Sequence[np.ndarray]) -> LabelledSets:
    """From margins[m][k] float [Nk] and labels[k] int [Nk]; every set has both classes."""
    of_set = np.repeat(np.arange(len(labels)), [len(part) for part in labels])
    return LabelledSets(np.stack([np.concatenate(list(row)) for row in margins]), np.concatenate(list(labels)), of_set)


def best_told(separations: np.ndarray) -> np.ndarray:
    """Places of the at most three models with the largest separations [M], in their order."""
    return np.sort(np.argsort(-separations, kind="stable")[:_MOST_MODELS])


def share_of(sets: LabelledSets, target: np.ndarray, weights: np.ndarray, home: float) -> tuple[float, float]:
    """Positive share of the target and its standard error, before any prior: the share may lie outside 0 to 1.

    `target` holds the models' margins [M, T] there, `weights` [K] say how much each labelled set counts, `home` is the source's share.
    (home, inf) where no weight or no difference between the classes is left.
    """
    if weights.sum() <= 0:
        return home, float("inf")
    near = weights / weights.sum()
    values, at_target = _squashed(sets.margins, target), _squashed(target, target)
    classes = [_class(values, sets, near, kind) for kind in (0, 1)]
    means = [one.means for one in classes]
    negative, positive = (near @ of_class for of_class in means)
    apart = positive - negative
    between = _between((1 - home) * means[0] + home * means[1], near)
    images = at_target.shape[1]
    share, error = home, float("inf")
    for _ in range(_ROUNDS):
        part = float(np.clip(share, 0.02, 0.98))
        of_means = (1 - part) ** 2 * classes[0].of_mean + part**2 * classes[1].of_mean
        of_target = ((1 - part) * classes[0].within + part * classes[1].within) / images
        covariance = between + _DESIGN_EFFECT * (of_means + of_target) + _RIDGE * np.eye(len(apart))
        direction = np.linalg.solve(covariance, apart)
        told = float(direction @ apart)
        if told <= 0:
            return home, float("inf")
        share = float(direction @ (at_target.mean(axis=1) - negative)) / told
        error = told**-0.5
    return share, error


def class_mix(share: float, error: float, home: float) -> ClassMix:
    """What a share estimated with this standard error says: half the hospitals see the source's kind of patients, half any mix.

    The prior is half a normal distribution around `home` and half uniform; `changed` is the posterior weight of the latter.
    """
    log_seen = -0.5 * ((share - _GRID) / error) ** 2
    seen = np.exp(log_seen - log_seen.max())
    alike = np.exp(-0.5 * ((_GRID - home) / _SAME) ** 2)
    same, other = seen * alike / alike.sum(), seen / len(_GRID)
    whole = same.sum() + other.sum()
    posterior = (same + other) / whole
    reached = np.cumsum(posterior)
    low, high = (float(_GRID[min(int(np.searchsorted(reached, part)), len(_GRID) - 1)]) for part in (0.05, 0.95))
    return ClassMix(float(posterior @ _GRID), low, high, float(other.sum() / whole))


def _squashed(margins: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Features [2 M, N] of margins [M, N], around two quantiles of their margins on the target, in its standard deviations."""
    rows = []
    for z, own in zip(margins, target, strict=True):
        unit = float(own.std()) or 1.0
        rows += [np.tanh((z - middle) / unit) for middle in np.quantile(own, _PLACES)]
    return np.stack(rows)


def _between(means: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Weighted covariance [F, F] of the sets' mean features [K, F]; zero of one set."""
    effective = 1 / float((near**2).sum())
    if len(near) < 2 or effective <= 1 + 1e-9:
        return np.zeros((means.shape[1], means.shape[1]))
    moved = means - near @ means
    found: np.ndarray = (moved * near[:, None]).T @ moved * effective / max(effective - 1, 0.5)
    return found


@dataclass(frozen=True)
class _Class:
    """Features of one class: means [K, F] in the sets, covariance [F, F] inside a set, and that of a set's mean, both by nearness."""

    means: np.ndarray
    within: np.ndarray
    of_mean: np.ndarray


def _class(values: np.ndarray, sets: LabelledSets, near: np.ndarray, kind: int) -> _Class:
    own = sets.labels == kind
    x, of_set = values[:, own], sets.of_set[own]
    counts = np.bincount(of_set, minlength=len(near))
    means = np.stack([np.bincount(of_set, weights=row, minlength=len(near)) for row in x], axis=1) / counts[:, None]
    left = x - means[of_set].T
    weights = (near / np.maximum(counts - 1, 1))[of_set]
    return _Class(means, (left * weights) @ left.T, (left * (weights / counts[of_set])) @ left.T)
