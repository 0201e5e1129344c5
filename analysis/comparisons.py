"""Differences -> what may be said about them: p-values, their correction over a family, equivalence, and what more data would buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.intervals import Interval, Resampled, interval, noise_of
from sweep.core.holm import holm
from sweep.core.seeds import rng

FLIPS = 4000
POWER, ALPHA = 0.8, 0.05
WORTH_SEEING = 0.02  # two points
_REACH = 50  # times what there is: no advice beyond that


def sign_flip_test(difference: Resampled, *, flips: int = FLIPS, seed: int = 0) -> float:
    """Two-sided p-value of a paired difference being zero.

    Under the null either model could have given a patient's outcome, so the patients' jackknife pseudo-values change sign at will;
    for a mean over patients this is the paired permutation test. The spread between seeds enters as in the intervals.
    """
    observed = float(difference.point.mean())
    left_out = difference.jackknife.mean(axis=1)
    blocks = len(left_out)
    pseudo = blocks * observed - (blocks - 1) * left_out
    generator = rng(seed, "sign flips", blocks)
    null = generator.choice([-1.0, 1.0], size=(flips, blocks)) @ pseudo / blocks
    noise = noise_of(difference)
    if noise.seeds_matter:
        null = null * noise.image_scale + generator.standard_t(noise.df, size=flips) * noise.seed_scale
    return float((1 + (np.abs(null) >= abs(observed) - 1e-12).sum()) / (flips + 1))


def nadeau_bengio(differences: Sequence[float], test_images: int, train_images: int) -> tuple[float, float]:
    """(t, p) of paired differences over resampled splits, whose training sets overlap (Nadeau & Bengio 2003).

    The variance of the mean is (1/k + test/train) s^2 instead of s^2/k. NaN with fewer than two splits.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    spread = np.sqrt((1 / len(values) + test_images / train_images) * values.var(ddof=1))
    if spread == 0:
        return (0.0, 1.0) if values.mean() == 0 else (float(np.copysign(np.inf, values.mean())), 0.0)
    t = float(values.mean() / spread)
    return t, float(2 * special.stdtr(len(values) - 1, -abs(t)))


@dataclass(frozen=True)
class Compared:
    """One difference of a family: a minus b, its interval, its p-value and the one adjusted over the family."""

    a: str
    b: str
    interval: Interval
    p: float
    p_adjusted: float

    @property
    def distinguishable(self) -> bool:
        """Whether the adjusted p-value is below 5 %."""
        return self.p_adjusted < ALPHA


def compare_family(pairs: Sequence[tuple[str, str, Resampled]], *, seed: int = 0) -> tuple[Compared, ...]:
    """Test every (a, b, paired difference) and adjust the p-values over all of them."""
    p_values = [sign_flip_test(sample, seed=seed) for _, _, sample in pairs]
    rows = zip(pairs, p_values, holm(p_values), strict=True)
    return tuple(
        Compared(a, b, interval(sample, seed=seed), p, float(adjusted)) for (a, b, sample), p, adjusted in rows
    )


def equivalence_margin(samples: Sequence[Resampled], *, alpha: float = ALPHA, seed: int = 0) -> float:
    """Smallest x such that two one-sided tests place every difference within +-x.

    The claim is about all of them together, so each test keeps its own level (intersection-union test, Berger 1982).
    """
    made = [interval(sample, level=1 - 2 * alpha, seed=seed) for sample in samples]
    return max((max(abs(one.low), abs(one.high)) for one in made), default=float("nan"))


@dataclass(frozen=True)
class PowerNote:
    """What a difference of `effect` would take to be seen with 80 % power: images at these seeds, seeds at these images.

    None where the other source of noise alone is too large, or fifty times what there is would not do.
    """

    effect: float
    detectable: float
    images: int | None
    seeds: int | None


def power_note(difference: Resampled, *, effect: float = WORTH_SEEING, level: float = 1 - ALPHA) -> PowerNote:
    """Size of test set and number of seeds needed to see `effect`, from the noise of an observed paired difference."""
    noise = noise_of(difference)
    needed = (effect / (special.ndtri((1 + level) / 2) + special.ndtri(POWER))) ** 2
    fixed_seeds, fixed_images = noise.own / noise.seeds, noise.shared
    per_image = (noise.shared + noise.by_images / noise.seeds) * difference.images
    now = per_image / difference.images + fixed_seeds
    return PowerNote(
        effect,
        detectable=float(effect * np.sqrt(now / needed)),
        images=_enough(per_image, needed - fixed_seeds, _REACH * difference.images),
        seeds=_enough(noise.own + noise.by_images, needed - fixed_images, _REACH * noise.seeds),
    )


def _enough(variance: float, room: float, most: float) -> int | None:
    return int(np.ceil(variance / room)) if room * most > variance else None
