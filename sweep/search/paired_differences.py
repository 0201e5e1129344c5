"""scores of the same seeds -> by how much each configuration is ahead of each other one, and how sure that is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sweep.core.variances import variance_prior

# S common seeds, M objectives (all to be maximized), P pairs.

Scores = Mapping[int, np.ndarray]  # one configuration's results [M] by seed


@dataclass(frozen=True)
class Lead:
    """By how much one configuration is ahead of another in one objective."""

    estimate: float
    variance: float  # of the estimate, from the choice of seeds on these very images
    freedom: float
    seeds: int

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(self.variance))

    @property
    def p(self) -> float:
        """One-sided p-value of not being ahead."""
        if self.error == 0:
            return 0.0 if self.estimate > 0 else 1.0
        from scipy import stats  # here: half a second of every driver that runs no race

        return float(stats.t.sf(self.estimate / self.error, self.freedom))

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided interval; its lower end is above 0 where `p` is below (1 - level) / 2."""
        from scipy import stats

        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error if self.error else 0.0
        return self.estimate - half, self.estimate + half


def leads(scores: Mapping[str, Scores], *, least: int = 2) -> dict[tuple[str, str], list[Lead]]:
    """(ahead, behind) -> one lead per objective, for every ordered pair with at least `least` common seeds."""
    pairs = [
        (a, b) for a, b in itertools.combinations(scores, 2) if len(_common(scores[a], scores[b])) >= max(2, least)
    ]
    if not pairs:
        return {}
    differences = [np.array([scores[a][s] - scores[b][s] for s in _common(scores[a], scores[b])]) for a, b in pairs]
    counts = np.array([len(rows) for rows in differences])
    most = int(
        (len({name for pair in pairs for name in pair}) - 1) * (counts.max() - 1)
    )  # residual degrees of freedom of all pairs together
    table: dict[tuple[str, str], list[Lead]] = {pair: [] for both in pairs for pair in (both, both[::-1])}
    for objective in range(differences[0].shape[1]):
        variances, freedom = moderated([rows[:, objective].var(ddof=1) for rows in differences], counts - 1, most)
        for (a, b), rows, variance, degrees in zip(pairs, differences, variances, freedom, strict=True):
            lead = Lead(float(rows[:, objective].mean()), float(variance / len(rows)), float(degrees), len(rows))
            table[a, b].append(lead)
            table[b, a].append(replace(lead, estimate=-lead.estimate))
    return table


def moderated(variances: ArrayLike, freedom: ArrayLike, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances [P] drawn towards their common value, and their degrees of freedom (Smyth 2004, empirical Bayes), at most `most`.

    A variance over three seeds is hardly known; those of the other pairs say what is usual. How far it is drawn follows from how alike the
    variances are. A single pair keeps its own.
    """
    own, degrees = np.asarray(variances, dtype=float), np.asarray(freedom, dtype=float)
    if (own > 0).sum() < 2:
        return own, degrees
    prior, prior_freedom = variance_prior(own, degrees)
    if np.isinf(prior_freedom):
        return np.maximum(own, prior), np.full(len(own), float(most))
    drawn = (prior_freedom * prior + degrees * own) / (prior_freedom + degrees)
    return np.maximum(own, drawn), np.minimum(prior_freedom + degrees, most)


def _common(a: Scores, b: Scores) -> list[int]:
    return sorted(a.keys() & b.keys())
