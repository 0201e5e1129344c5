"""Several metrics of one recipe -> draws of all of them together, so that metrics that share models and images move together.

AUROC on the target and the domain gap both rest on the same trained models: a seed that does well on the target closes its gap. Drawn apart,
such pairs would put recipes on a Pareto front, or take them off it, that no training run could.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from analysis.intervals import Resampled, noise_of

_PAIRS_AT_ONCE = 1_000_000  # draws x rivals x configurations compared in one block (1 MB a matrix)


def seed_correlation(recipes: Sequence[Sequence[Resampled]]) -> np.ndarray:
    """Correlation between metrics [M, M] of the seeds' deviations from their recipe's mean, pooled over recipes; unknown pairs are 0."""
    metrics = len(recipes[0])
    products = np.zeros((metrics, metrics))
    for samples in recipes:
        common = [seed for seed in samples[0].seeds if all(seed in sample.seeds for sample in samples)]
        if len(common) < 2:
            continue
        points = np.stack([sample.point[[sample.seeds.index(seed) for seed in common]] for sample in samples], axis=1)
        away = points - points.mean(axis=0)
        products += away.T @ away
    spread = np.sqrt(np.diag(products))
    scale = np.where(spread > 0, spread, 1.0)
    correlation = products / scale[:, None] / scale
    np.fill_diagonal(correlation, 1.0)
    return correlation


def joint_draws(samples: Sequence[Resampled], correlation: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws [B, M] of the means over seeds: patients resampled together, seed effects from one multivariate Student's t.

    The samples of metrics on the same images share their resampled patients; each metric's marginal is the one of its interval.
    """
    noises = [noise_of(sample) for sample in samples]
    draws = min(len(sample.draws) for sample in samples)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    normal = generator.standard_normal((draws, len(samples))) @ root.T
    uniform = generator.random(draws)  # one for all metrics: a small denominator makes every effect of a draw large
    columns = []
    for number, (sample, noise) in enumerate(zip(samples, noises, strict=True)):
        mean = sample.mean[:draws]
        if noise.seeds_matter:
            mean = mean.mean() + (mean - mean.mean()) * noise.image_scale
            mean = mean + noise.seed_scale * normal[:, number] / np.sqrt(_chi_square(uniform, noise.df) / noise.df)
        columns.append(mean)
    return np.stack(columns, axis=1)


def _chi_square(uniform: np.ndarray, df: float) -> np.ndarray:
    return 2 * special.gammaincinv(df / 2, uniform)


def front_probability(draws: np.ndarray) -> np.ndarray:
    """Share of the draws [B, N, M] (every objective maximized) in which each configuration is on the Pareto front [N]."""
    columns = np.moveaxis(draws, 2, 0)
    step = max(1, _PAIRS_AT_ONCE // draws.shape[1] ** 2)
    return np.concatenate([_on_front(columns[:, at : at + step]) for at in range(0, len(draws), step)]).mean(axis=0)


def _on_front(columns: np.ndarray) -> np.ndarray:
    """bool [B, N] of objectives [M, B, N]; a configuration with NaN is not on the front and dominates none."""
    at_least = np.ones((*columns.shape[1:], columns.shape[2]), dtype=bool)  # [B, rival, configuration]
    better = np.zeros_like(at_least)
    for column in columns:
        rival, own = column[:, :, None], column[:, None, :]
        at_least &= rival >= own
        better |= rival > own
    dominated = (at_least & better).any(axis=1)
    return ~dominated & ~np.isnan(columns).any(axis=0)
