"""Several metrics of all recipes -> draws of their true values together, and how often each recipe is on the Pareto front of a draw.

AUROC on the target and the domain gap both rest on the same trained models: a seed that does well on the target closes its gap. Drawn apart,
such pairs would put recipes on a Pareto front, or take them off it, that no training run could.

Observed scores are true scores plus noise. Adding the noise once more, as resampling around the observed scores does, spreads the recipes too
far along the direction in which their metrics share noise. The true scores are drawn from their posterior instead: recipes are exchangeable,
normal around a common mean (hierarchical model, Gelman et al. 2013, chapter 5; the covariance prior is that of Huang & Wand 2013).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.intervals import Resampled, noise_of

_PAIRS_AT_ONCE = 1_000_000  # draws x rivals x configurations compared in one block (1 MB a matrix)
_BURN_IN = 200  # steps of the sampler before the first draw that counts
_PRIOR_DF = 4.0  # of the half-t prior on each spread; correlations of true scores are then centred on 0
_JITTER = 1e-9  # relative, keeps covariances invertible

# N recipes, M metrics, B bootstrap samples.


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


def noise_covariances(recipes: Sequence[Sequence[Resampled]], correlation: np.ndarray) -> np.ndarray:
    """Covariance [N, M, M] of each recipe's means over seeds around their true values, without what all recipes share.

    Image noise is the covariance of resampled patients after the mean over the recipes on the same images is taken out of every bootstrap
    sample: it moves all of them and changes no comparison. Seed noise has the variances of the intervals and `correlation` [M, M].
    """
    noises = [[noise_of(sample) for sample in samples] for samples in recipes]
    scales = np.array([[noise.seed_scale for noise in row] for row in noises])
    draws = min(len(sample.draws) for samples in recipes for sample in samples)
    away = np.stack([np.stack([sample.mean[:draws] for sample in samples], axis=1) for samples in recipes])
    away = away - away.mean(axis=1, keepdims=True)
    away = away * np.array([[noise.image_scale for noise in row] for row in noises])[:, None]
    images = [tuple(sample.drawn_from for sample in samples) for samples in recipes]
    for one in set(images):
        members = [number for number, other in enumerate(images) if other == one]
        if len(members) > 1:
            unshared = away[members] - away[members].mean(axis=0)
            away[members] = unshared * np.sqrt(len(members) / (len(members) - 1))
    return np.einsum("nbi,nbj->nij", away, away) / draws + scales[:, :, None] * scales[:, None] * correlation


def true_scores(observed: np.ndarray, noise: np.ndarray, generator: np.random.Generator, draws: int) -> np.ndarray:
    """Draws [draws, N, M] of the true scores behind `observed` [N, M] with noise of covariance `noise` [N, M, M].

    Gibbs sampler of: observed ~ N(true, noise), true ~ N(mean, spread), flat prior on the mean, Huang and Wand's (2013) prior on the spread
    in units of the observed standard deviation. A metric that is the same for all recipes, without noise, stays as it is.
    """
    scale = np.sqrt(observed.var(axis=0) + np.einsum("nmm->nm", noise).mean(axis=0))
    moving = scale > 0
    made = np.repeat(observed[None].astype(float), draws, axis=0)
    if not moving.any():
        return made
    unit = scale[moving]
    centre = observed[:, moving].mean(axis=0)
    scores = (observed[:, moving] - centre) / unit
    errors = noise[:, moving][:, :, moving] / (unit[:, None] * unit)
    made[:, :, moving] = centre + unit * _gibbs(scores, errors, generator, draws)
    return made


def _gibbs(scores: np.ndarray, errors: np.ndarray, generator: np.random.Generator, draws: int) -> np.ndarray:
    count, metrics = scores.shape
    spread, mixing = np.eye(metrics) / 2, np.ones(metrics)
    made = np.empty((draws, count, metrics))
    for step in range(-_BURN_IN, draws):
        precision = np.linalg.inv(spread + errors + _JITTER * np.eye(metrics))
        total = np.linalg.inv(precision.sum(axis=0))
        mean = total @ np.einsum("nij,nj->i", precision, scores) + _root(total) @ generator.standard_normal(metrics)
        kept = spread @ precision
        left = spread - kept @ spread
        noise = np.einsum("nij,nj->ni", _root(left), generator.standard_normal(scores.shape))
        true = mean + np.einsum("nij,nj->ni", kept, scores - mean) + noise
        around = (true - mean).T @ (true - mean) + 2 * _PRIOR_DF * np.diag(1 / mixing)
        precision_drawn = _wishart(_PRIOR_DF + metrics - 1 + count, around, generator)
        spread[:] = np.linalg.inv(precision_drawn + _JITTER * np.eye(metrics))
        mixing = (_PRIOR_DF * np.diag(precision_drawn) + 1) / generator.gamma((_PRIOR_DF + metrics) / 2, size=metrics)
        if step >= 0:
            made[step] = true
    return made


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0.0, None))[..., None, :]


def _wishart(df: float, inverse_scale: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One draw by Bartlett's decomposition."""
    size = len(inverse_scale)
    lower = np.tril(generator.standard_normal((size, size)), -1)
    lower[np.diag_indices(size)] = np.sqrt(generator.chisquare(df - np.arange(size)))
    root = np.linalg.cholesky(np.linalg.inv(inverse_scale)) @ lower
    return root @ root.T


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
