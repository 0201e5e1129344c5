"""Scores by recipe and seed -> how much a difference of two recipes varies from seed to seed, learnt from all recipes of a run.

A paired difference over three seeds has two degrees of freedom of its own, so a test on it alone sees little. Every recipe of a sweep runs
the same seeds, so the residuals of the two-way layout (recipe + seed) estimate the same kind of variance many times over. They are pooled
by empirical Bayes (Smyth 2004): alike recipes lend each other many degrees of freedom, unlike ones few.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.intervals import SeedPrior
from sweep.core.variances import variance_prior

LEAST_DF = 4.0  # what the other recipes count for where their variances look unlike: few of them cannot show how unlike they are
_SWEEPS = 20  # alternations that fit recipe and seed effects; balanced tables are exact after one


def difference_prior(scores: pd.Series) -> SeedPrior | None:
    """Variance between seeds of the difference of two recipes, with the degrees of freedom it counts for beside the pair's own.

    `scores` is one metric indexed by (signature, seed). The total with a pair's own degrees of freedom never exceeds the residual degrees
    of freedom of the whole table, (recipes - 1) x (seeds - 1) where it is complete. None with fewer than three recipes on two seeds:
    the pair itself is then all that is known.
    """
    table = scores.dropna().unstack("seed")
    table = table[table.notna().sum(axis=1) >= 2]
    if len(table) < 3:
        return None
    variances, df = residual_variances(table.to_numpy(dtype=float))
    prior, prior_df = variance_prior(variances, df)
    own = float(table.notna().sum(axis=1).median()) - 1
    prior_df = min(max(prior_df, LEAST_DF), float(df.sum()) - own)
    return SeedPrior(2 * prior, prior_df) if prior > 0 and prior_df > 0 else None


def residual_variances(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of each recipe's residuals [K] and its degrees of freedom [K], from scores [K, S] with NaN where a seed did not run.

    Residuals are taken from recipe + seed effects; the degrees of freedom that the seed effects cost are shared by the recipes in proportion
    to their seeds.
    """
    known = ~np.isnan(scores)
    residual = np.where(known, scores, 0.0)
    counts, per_seed = known.sum(axis=1), known.sum(axis=0)
    for _ in range(_SWEEPS):
        residual = np.where(known, residual - (residual.sum(axis=1) / np.maximum(counts, 1))[:, None], 0.0)
        effects = residual.sum(axis=0) / np.maximum(per_seed, 1)
        residual = np.where(known, residual - effects, 0.0)
        if np.abs(effects).max() < 1e-12:
            break
    own = np.maximum(counts - 1.0, 0.0)
    total = max(0.0, own.sum() - ((per_seed > 0).sum() - 1))
    df = own * total / own.sum() if own.sum() > 0 else own
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(df > 0, (residual**2).sum(axis=1) / df, 0.0), df
