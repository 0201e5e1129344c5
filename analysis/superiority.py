"""A named winner and a rival -> the probability that the winner is not truly better, given how far apart recipes of this sweep are.

After Christodoulou et al. 2025 ("Claims Reloaded", arXiv 2505.04720): the probability of false superiority is the posterior probability that
the true difference is zero or less. A flat prior would take the observed difference at its word, which a *winner's* difference is not: it was
chosen for being large. Here the true scores of the sweep's recipes are exchangeable, normal around a common mean with a spread tau that is
itself estimated from all of them (normal hierarchical model, Gelman et al. 2013, chapter 5); differences shrink by what of their spread is
noise. Where nothing but noise separates the recipes the probability is near one half. Posterior means are immune to selection (Dawid 1994;
Efron 2011), so choosing the winner first costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from analysis import metric_names
from analysis.estimates import Estimates
from analysis.frames import Run
from analysis.intervals import Resampled, noise_of

_WIDEST = 0.25  # largest standard deviation of true scores between recipes that is considered, as a share of the metric's range of 1
_STEPS = 200


def error_variance(difference: Resampled) -> tuple[float, float]:
    """(variance of the mean paired difference, its effective degrees of freedom by Welch and Satterthwaite)."""
    noise = noise_of(difference)
    if not noise.seeds_matter:
        return noise.shared + noise.by_images / noise.seeds, float("inf")
    seeds = noise.between / noise.seeds
    total = noise.shared + seeds
    return total, noise.df * (total / seeds) ** 2


def spread_posterior(scores: Sequence[float], error: float) -> tuple[np.ndarray, np.ndarray]:
    """(tau [T], its posterior probability [T]): standard deviation of recipes' true scores, uniform beforehand on [0, 0.25].

    `scores` [K] are observed means; `error` is the variance of one of them that is not shared by the others. The common mean is integrated out.
    """
    observed = np.asarray(scores, dtype=float)
    observed = observed[np.isfinite(observed)]
    taus = (np.arange(_STEPS) + 0.5) / _STEPS * _WIDEST
    if len(observed) < 2 or error <= 0:
        return taus, np.full(_STEPS, 1 / _STEPS)
    total, df = taus**2 + error, len(observed) - 1
    logs = -0.5 * df * np.log(total) - 0.5 * df * observed.var(ddof=1) / total
    weights = np.exp(logs - logs.max())
    return taus, weights / weights.sum()


def false_superiority(difference: Resampled, scores: Sequence[float]) -> float:
    """Posterior probability that the first of a paired difference is not truly better than the second.

    `difference` is winner minus rival, with the sign such that more is better; `scores` [K] the observed means of all recipes with that sign.
    NaN where the difference is.
    """
    observed = float(difference.point.mean())
    variance, df = error_variance(difference)
    if not np.isfinite(observed):
        return float("nan")
    if variance == 0:
        return 0.5 if observed == 0 else float(observed < 0)
    taus, weights = spread_posterior(scores, variance / 2)
    kept = 2 * taus**2 / (2 * taus**2 + variance)
    below = -np.sqrt(kept) * observed / np.sqrt(variance)
    tails = special.ndtr(below) if np.isinf(df) else special.stdtr(df, below)
    return float(weights @ tails)


def probability_over(run: Run, estimates: Estimates, first: str, rival: str, metric: str) -> float:
    """False superiority of the configuration `first` over `rival` in a metric; NaN where they share no test images or no seed."""
    difference = estimates.paired(first, rival, metric)
    if difference is None:
        return float("nan")
    sign = metric_names.sign(metric, run.goals)
    turned = difference if sign > 0 else replace(difference, point=-difference.point)
    return false_superiority(turned, sign * run.means[metric].to_numpy())


def beside_chance(difference: Resampled) -> str:
    """What must be said beside a probability that rests on one common seed while nothing is known of the noise between seeds; else empty."""
    alone = len(difference.seeds) == 1 and difference.prior is None
    return " (of image noise alone: the luck of a single training run is not in it)" if alone else ""


def chance_text(chance: float) -> str:
    """A probability for people: never a bare zero."""
    return "below 0.1 %" if chance < 0.001 else f"{100 * chance:.1f} %" if chance < 0.1 else f"{100 * chance:.0f} %"
