"""Sample variances of many groups -> what variance is usual among them, and how much that knowledge is worth (empirical Bayes)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_MOST_DF = 1e8
_NEWTON_STEPS = 50


def variance_prior(variances: Sequence[float] | np.ndarray, df: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """(prior variance, prior degrees of freedom) of a scaled inverse chi-square fitted to sample variances [P] on `df` [P].

    Smyth (2004), section 6.2: moments of the log variances. The degrees of freedom are infinite where the sample variances differ no
    more than chance makes them, and (0, 0) is returned where fewer than two groups have a positive variance.
    """
    own, degrees = np.asarray(variances, dtype=float), np.asarray(df, dtype=float)
    usable = (own > 0) & (degrees > 0)
    if usable.sum() < 2:
        return 0.0, 0.0
    from scipy.special import digamma, polygamma  # here: a sweep plans its trials without waiting for SciPy

    half = degrees[usable] / 2
    logs = np.log(own[usable]) - digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if excess <= 0:
        return float(np.exp(logs.mean())), float("inf")
    prior_df = 2 * trigamma_inverse(excess)
    return float(np.exp(logs.mean() + digamma(prior_df / 2) - np.log(prior_df / 2))), prior_df


def trigamma_inverse(value: float) -> float:
    """x with trigamma(x) = value > 0, by Newton steps on 1 / trigamma, which is nearly linear (Smyth 2004, appendix)."""
    if value < 1 / _MOST_DF:
        return 1 / value
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(_NEWTON_STEPS):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return float(x)
