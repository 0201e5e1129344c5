"""Features of real and synthetic images -> how far apart they are, with an interval where one can be given.

n real and m synthetic images with D features. Every figure's name ends in the feature net it was computed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import ndtri

from sweep.core.errors import InputError
from sweep.core.ranks import auroc
from sweep.synth.descriptors import FeatureNet, feature_net

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # train inputs, train labels, test inputs -> scores
Sums = np.ndarray | float
NEIGHBOURS = 5  # of the balls in precision, recall and coverage (Naeem et al. 2020)


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


def quality(real: np.ndarray, synthetic: np.ndarray, net: str | FeatureNet) -> dict[str, float]:
    """All figures of uint8 images [n, px, px] and [m, px, px], named <figure>/<feature net>."""
    chosen = feature_net(net)
    real_features, synthetic_features = chosen.embed(real, synthetic)
    return quality_of_features(real_features, synthetic_features, chosen.name)


def quality_of_features(real: np.ndarray, synthetic: np.ndarray, net: str) -> dict[str, float]:
    """The same of features [n, D] and [m, D], standardised together, of the feature net called `net`."""
    distance = kid(real, synthetic)
    figures = {
        "kid": distance.value,
        "kid_low": distance.low,
        "kid_high": distance.high,
        "frechet": frechet(real, synthetic),
    }
    figures |= precision_recall_coverage(real, synthetic)
    return {f"{name}/{net}": value for name, value in figures.items()}


def kid(real: np.ndarray, synthetic: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Kernel inception distance: the unbiased squared MMD with kernel (x.y / D + 1)^3 (Binkowski et al. 2018).

    Unbiased at every n and m, so it may be slightly negative for equal distributions. The interval is normal with a
    delete-one jackknife standard error over both sets. InputError with fewer than three images on either side.
    """
    _check_features("KID", real, synthetic, 3)
    within_real, within_synthetic = _kernel(real, real), _kernel(synthetic, synthetic)
    between = _kernel(real, synthetic)
    np.fill_diagonal(within_real, 0)
    np.fill_diagonal(within_synthetic, 0)
    n, m = between.shape
    sums = within_real.sum(), within_synthetic.sum(), between.sum()
    value = _mmd(*sums, n, m)
    without_real = _mmd(sums[0] - 2 * within_real.sum(1), sums[1], sums[2] - between.sum(1), n - 1, m)
    without_synthetic = _mmd(sums[0], sums[1] - 2 * within_synthetic.sum(1), sums[2] - between.sum(0), n, m - 1)
    error = np.sqrt((n - 1) * without_real.var() + (m - 1) * without_synthetic.var())
    reach = ndtri((1 + confidence) / 2) * error
    return Estimate(float(value), float(value - reach), float(value + reach))


def frechet(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Frechet distance of two Gaussians fitted to the features (Heusel et al. 2017); biased upwards at small n.

    The trace of the root of the covariance product is the nuclear norm of A B^T for centred feature matrices A, B: it
    holds at any rank: n may be smaller than D. InputError with fewer than two images on either side.
    """
    _check_features("Frechet distance", real, synthetic, 2)
    gap = np.square(real.mean(0) - synthetic.mean(0)).sum()
    a, b = (part - part.mean(0) for part in (real, synthetic))
    a, b = a / np.sqrt(len(a) - 1), b / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(gap + np.square(a).sum() + np.square(b).sum() - 2 * cross)


def precision_recall_coverage(
    real: np.ndarray, synthetic: np.ndarray, neighbours: int = NEIGHBOURS
) -> dict[str, float]:
    """Shares in [0, 1]: synthetic images inside the real set, real ones inside the synthetic set, real ones covered.

    Precision and recall after Kynkaanniemi et al. 2019; coverage, the share of real images with a synthetic one closer
    than their own k-th real neighbour, after Naeem et al. 2020. InputError with fewer than two images on either side.
    """
    _check_features("precision, recall and coverage", real, synthetic, 2)
    k = min(neighbours, len(real) - 1, len(synthetic) - 1)
    real_radius = np.sort(cdist(real, real))[:, k]
    synthetic_radius = np.sort(cdist(synthetic, synthetic))[:, k]
    between = cdist(real, synthetic)
    return {
        "precision": float((between <= real_radius[:, None]).any(0).mean()),
        "recall": float((between <= synthetic_radius).any(1).mean()),
        "coverage": float((between.min(1) <= real_radius).mean()),
    }


def train_on_synthetic_test_on_real(
    synthetic: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    fit: Fit,
) -> dict[str, float]:
    """AUROC on real test images after training on synthetic ones, and on real ones for reference.

    Each argument is (inputs, labels 0 or 1); `fit` trains on the first two arguments it gets and scores the third, and
    may be a whole network on images or `ridge` on features.
    """
    return {
        "auroc_trained_on_synthetic": auroc(fit(*synthetic, test[0]), test[1] == 1),
        "auroc_trained_on_real": auroc(fit(*real, test[0]), test[1] == 1),
    }


def ridge(inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray, penalty: float = 1.0) -> np.ndarray:
    """Scores of a least-squares classifier on standardised features: a small reference `fit`.

    InputError unless both classes are there and the features are finite.
    """
    _check_features("ridge classifier", inputs, test_inputs, 1)
    if len(set(np.asarray(labels).tolist())) < 2:
        raise InputError("ridge classifier", "images of one class only", "give images of both classes")
    mean, spread = inputs.mean(0), np.maximum(inputs.std(0), 1e-6)
    x, y = (inputs - mean) / spread, np.where(labels == 1, 1.0, -1.0)
    weights = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]) / 10, x.T @ (y - y.mean()))
    return (test_inputs - mean) / spread @ weights


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _check_features(figure: str, real: np.ndarray, synthetic: np.ndarray, least: int) -> None:
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        problem = f"features of shape {real.shape} and {synthetic.shape}"
        raise InputError(figure, problem, "give features [n, D] and [m, D] of one feature net")
    if not (np.isfinite(real).all() and np.isfinite(synthetic).all()):
        raise InputError(
            figure, "NaN or infinity among the features", "leave these images out, or use another feature net"
        )
    if min(len(real), len(synthetic)) < least:
        problem = f"{len(real)} real and {len(synthetic)} synthetic images"
        raise InputError(figure, problem, f"give at least {least} of each")


def _mmd(within_real: Sums, within_synthetic: Sums, between: Sums, n: int, m: int) -> Any:
    return within_real / (n * (n - 1)) + within_synthetic / (m * (m - 1)) - 2 * between / (n * m)
