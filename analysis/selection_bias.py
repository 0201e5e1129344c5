"""Scores of all candidates under resampling -> what the chosen one would score had it not been chosen for its luck.

The largest of k noisy numbers is too high even where all k recipes are equal (winner's curse). Bootstrap bias-corrected cross-validation
(BBC-CV: Tsamardinos, Greasidou & Borboudakis 2018) repeats *the selection itself* on stored out-of-sample outcomes: choose on the patients
of a bootstrap sample, read the score of the chosen one on the patients left out, and average over samples. No model is trained again.
Here chance lies in the seeds too, so the choice is made on all seeds but one and the score is read on the seed left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from analysis.intervals import HALF_A_CASE, Interval, Resampled, SeedPrior, counted, interval

DRAWS = 400  # bootstrap samples in which the selection is repeated

# B bootstrap samples, S seeds, K candidates.


@dataclass(frozen=True)
class Repeated:
    """The selection repeated: mean score of the chosen on what the choice did not see, and how often each candidate was chosen [K]."""

    score: float
    shares: np.ndarray
    seeds_left_out: bool  # False with one seed: then the luck of the seed is still in the score


def leave_seed_out(values: np.ndarray) -> np.ndarray:
    """Mean over all seeds but each one [B, S, K] of values [B, S, K]; with one seed the values themselves, NaN where none is left."""
    seeds = values.shape[1]
    if seeds == 1:
        return values
    known = ~np.isnan(values)
    plain = np.where(known, values, 0.0)
    others = known.sum(axis=1, keepdims=True) - known
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(others > 0, (plain.sum(axis=1, keepdims=True) - plain) / others, np.nan)


def repeat_selection(rank_scores: np.ndarray, held_out: np.ndarray) -> Repeated:
    """Choose in every bootstrap sample and read the score of the chosen elsewhere.

    `rank_scores` [B, S, K] is what the choice looks at (more is better) on the drawn patients and without each seed in turn
    (`leave_seed_out`); `held_out` [B, S, K] the score of that seed on the patients left out, or on all of them where the choice never
    looks at them. NaN marks a seed that did not run or a sample without one class.
    """
    seeds, candidates = rank_scores.shape[1:]
    known = np.where(np.isnan(rank_scores), -np.inf, rank_scores)
    chosen = known.argmax(axis=2)
    read = np.take_along_axis(held_out, chosen[:, :, None], axis=2)[:, :, 0]
    usable = np.isfinite(read) & np.isfinite(known.max(axis=2))
    if not usable.any():
        return Repeated(float("nan"), np.zeros(candidates), seeds > 1)
    shares = np.bincount(chosen[usable], minlength=candidates) / usable.sum()
    return Repeated(float(read[usable].mean()), shares, seeds > 1)


def corrected_interval(
    repeated: Repeated, samples: Sequence[Resampled], *, level: float = 0.95, limits: tuple[float, float], seed: int = 0
) -> Interval:
    """Interval around the corrected score; `samples` hold the shown metric of every candidate [K], on the same images and seeds.

    Its variance is that of the candidates' mean weighted by how often each is chosen, plus the spread of the observed scores among the
    chosen (raised to first order for the mean that is estimated from the same few): the selection might as well have named another of
    them. Where one recipe always wins it is that recipe's own interval.
    A score in [0, 1] gets at least the interval of a share with that variance, Clopper and Pearson's of the effective sample size (Korn &
    Graubard 1998): with few positives a symmetric interval around a high score ends too far from one half.
    """
    mixed = mixture(samples, repeated.shares)
    made = interval(mixed, level=level, seed=seed)
    observed = np.array([sample.point.mean() for sample in samples])
    shares = repeated.shares
    between = float(shares @ (observed - shares @ observed) ** 2) * (1 + float(shares @ shares))
    own = (made.half_width / special.ndtri((1 + level) / 2)) ** 2
    stretch = np.sqrt(1 + between / own) if own > 0 else 1.0
    ends = repeated.score + stretch * (np.array([made.low, made.high]) - made.estimate)
    low, high = np.clip(ends, *limits)
    if limits == (0.0, 1.0) and np.isfinite(repeated.score):
        images = _effective(repeated.score, own + between, mixed.rests_on, level)
        ends = counted(repeated.score, images, level)
        low, high = min(low, ends[0]), max(high, ends[1])
    return replace(made, estimate=repeated.score, low=float(low), high=float(high))


def _effective(score: float, variance: float, patients: int, level: float) -> float:
    """Images that a share would have to rest on to be this uncertain, fewer where `patients` of the smaller class leave few degrees of freedom."""
    upper = (1 + level) / 2
    student = special.stdtrit(2 * (max(patients, 2) - 1), upper) / special.ndtri(upper)
    missed = min(score, 1 - score)
    if variance == 0 or missed * patients < HALF_A_CASE:  # resampling shows nothing of less than half a patient
        return float(patients)
    return missed * (1 - missed) / (variance * float(student) ** 2)


def mixture(samples: Sequence[Resampled], shares: np.ndarray) -> Resampled:
    """Weighted mean of several samples on the same images and seeds; weights sum to one."""
    used = [(sample, share) for sample, share in zip(samples, shares, strict=True) if share > 0]
    first = used[0][0]
    held = [(sample.prior, share) for sample, share in used if sample.prior is not None]
    prior = None
    if len(held) == len(used):
        variance = sum(share**2 * one.variance for one, share in held)
        prior = SeedPrior(float(variance), min(one.df for one, _ in held))
    return replace(
        first,
        point=sum(share * sample.point for sample, share in used),
        draws=sum(share * sample.draws for sample, share in used),
        jackknife=sum(share * sample.jackknife for sample, share in used),
        prior=prior,
    )
