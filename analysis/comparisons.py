"""Differences -> what may be said about them: p-values, their correction over a family, equivalence, and what more data would buy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import special

from analysis.intervals import Interval, Noise, Resampled, interval, noise_of
from sweep.core.holm import holm
from sweep.core.seeds import rng

FLIPS = 4000
POWER, ALPHA = 0.8, 0.05
WORTH_SEEING = 0.02  # two points
_COUNTED = 20  # flips beyond the observed difference that make their share a p-value
_OVERFLOW = 300.0  # of cosh
_BISECTIONS = 60
_HALVINGS = 14
_POINTS = 1000  # of a quadrature
_REACH = 50  # times what there is: no advice beyond that


def sign_flip_test(difference: Resampled, *, flips: int = FLIPS, seed: int = 0) -> float:
    """Two-sided p-value of a paired difference being zero; NaN where the difference is undefined.

    Under the null either model could have given a patient's outcome, so the patients' jackknife pseudo-values change sign at will;
    for a mean over patients this is the paired permutation test. The spread between seeds enters as in the intervals. Small p-values are
    computed, not counted: the share of so many flips could not fall below one in 4,000, which no correction over a large family survives.
    """
    observed = float(difference.point.mean())
    if not np.isfinite(observed):
        return float("nan")
    left_out = difference.jackknife.mean(axis=1)
    blocks = len(left_out)
    steps = (blocks * observed - (blocks - 1) * left_out) / blocks  # what each block of patients adds to the difference
    noise = noise_of(difference)
    null = rng(seed, "sign flips", blocks).choice([-1.0, 1.0], size=(flips, blocks)) @ steps
    if noise.seeds_matter:
        return _tail_with_seeds(abs(observed), null * noise.image_scale, noise)
    beyond = int((np.abs(null) >= abs(observed) - 1e-12).sum())
    counted = (1 + beyond) / (flips + 1)
    return counted if beyond >= _COUNTED else min(counted, sign_flip_tail(steps, abs(observed)))


def _tail_with_seeds(observed: float, null: np.ndarray, noise: Noise) -> float:
    """P(|images + seeds| >= observed): the seeds' Student tail is exact for every draw of the images' part."""
    ends = np.concatenate([null - observed, -null - observed]) / noise.seed_scale  # the null is symmetric
    return float(min(1.0, 2 * special.stdtr(noise.df, ends).mean()))


def sign_flip_tail(steps: np.ndarray, observed: float) -> float:
    """P(|sum of +-steps| >= observed) by the saddlepoint approximation (Lugannani and Rice 1980), never below the exact least p.

    Half a lattice step is taken off `observed`, so that steps of equal size give a p-value that is not too small.
    """
    steps = np.abs(steps[np.abs(steps) > 1e-15])
    if not len(steps) or observed <= 0:
        return 1.0
    least = float(2.0 ** (1 - len(steps)))
    aim = observed - steps.min()
    if aim >= steps.sum() * (1 - 1e-9):
        return least
    if aim <= 0:
        return 1.0
    t = _saddlepoint(steps, aim)
    curvature = float((steps**2 / np.cosh(np.minimum(t * steps, _OVERFLOW)) ** 2).sum())
    cumulants = float(np.logaddexp(t * steps, -t * steps).sum() - len(steps) * np.log(2))
    w, u = np.sqrt(max(0.0, 2 * (t * aim - cumulants))), t * np.sqrt(curvature)
    if u <= 0 or w <= 0:
        return least
    tail = special.ndtr(-w) + np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi) * (1 / u - 1 / w)
    return float(np.clip(2 * tail, least, 1.0))


def _saddlepoint(steps: np.ndarray, aim: float) -> float:
    """Where the derivative of the cumulants, which rises from 0 to the sum of steps, is `aim`; by bisection."""
    low, high = 0.0, 1.0 / float(steps.max())
    while (steps * np.tanh(high * steps)).sum() < aim:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if (steps * np.tanh(middle * steps)).sum() < aim else (low, middle)
    return (low + high) / 2


def nadeau_bengio(differences: Sequence[float], test_images: int, train_images: int) -> tuple[float, float]:
    """(t, p) of paired differences over resampled splits, whose training sets overlap (Nadeau & Bengio 2003).

    The variance of the mean is (1/k + test/train) s^2 instead of s^2/k. NaN with fewer than two splits.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    spread = _split_error(values, test_images, train_images)
    if spread == 0:
        return (0.0, 1.0) if values.mean() == 0 else (float(np.copysign(np.inf, values.mean())), 0.0)
    t = float(values.mean() / spread)
    return t, float(2 * special.stdtr(len(values) - 1, -abs(t)))


def split_mean(
    values: Sequence[float], test_images: int, train_images: int, level: float = 0.95
) -> tuple[float, float, float]:
    """(mean, low, high) of a metric over resampled splits, with the variance of `nadeau_bengio`. Ends are NaN with fewer than two splits."""
    found = np.asarray(values, dtype=float)
    mean = float(found.mean())
    if len(found) < 2:
        return mean, float("nan"), float("nan")
    half = float(special.stdtrit(len(found) - 1, (1 + level) / 2) * _split_error(found, test_images, train_images))
    return mean, mean - half, mean + half


def _split_error(values: np.ndarray, test_images: int, train_images: int) -> float:
    return float(np.sqrt((1 / len(values) + test_images / train_images) * values.var(ddof=1)))


@dataclass(frozen=True)
class Compared:
    """One difference of a family: a minus b, its interval, its p-value and the one adjusted over the family."""

    a: str
    b: str
    interval: Interval
    p: float
    p_adjusted: float
    seeds: tuple[int, ...] = ()  # that both ran: what the difference rests on
    seed_noise_known: bool = True  # whether the test knows how much training runs of one recipe differ

    @property
    def distinguishable(self) -> bool:
        """Whether the adjusted p-value is below 5 %; never where the noise between training runs is not known at all.

        With one seed everywhere the test sees image noise alone and calls three in ten of equal recipes different.
        """
        return self.p_adjusted < ALPHA and self.seed_noise_known


def compare_family(pairs: Sequence[tuple[str, str, Resampled]], *, seed: int = 0) -> tuple[Compared, ...]:
    """Test every (a, b, paired difference) and adjust the p-values over all of them."""
    p_values = [sign_flip_test(sample, seed=seed) for _, _, sample in pairs]
    rows = zip(pairs, p_values, holm(p_values), strict=True)
    return tuple(
        Compared(a, b, interval(sample, seed=seed), p, float(adjusted), sample.seeds, noise_of(sample).df > 0)
        for (a, b, sample), p, adjusted in rows
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


def power_note(difference: Resampled, *, effect: float = WORTH_SEEING, alpha: float = ALPHA) -> PowerNote:
    """Size of test set and number of seeds needed to see `effect` at level `alpha`, from the noise of an observed paired difference.

    Power is that of the test that is used, with its Student tail on so many degrees of freedom, and it is averaged over how large the noise
    between seeds may really be: a few seeds tell little about it, and taking what they show at its word promises too much.
    """
    noise = noise_of(difference)
    return PowerNote(
        effect,
        detectable=_detectable(noise, alpha),
        images=_fewest(lambda times: _detectable(_with_images(noise, times), alpha), effect, difference.images),
        seeds=_fewest(
            lambda times: _detectable(_with_seeds(noise, max(1, round(times * noise.seeds))), alpha),
            effect,
            noise.seeds,
        ),
    )


def _detectable(noise: Noise, alpha: float) -> float:
    """Smallest true difference that the test is expected to see with 80 % power."""
    images = noise.shared + noise.by_images / noise.seeds
    if noise.df <= 0:
        return float(np.sqrt(images) * (special.ndtri(1 - alpha / 2) + special.ndtri(POWER)))
    unknown, seen = _chi_squares(noise.df)
    between = np.maximum(
        noise.between * noise.df / unknown, noise.by_images
    )  # what it may truly be; image noise is part of it
    shown = between * seen / noise.df  # what another such sweep would see of it
    matters = shown > noise.by_images / 2
    student, normal = abs(special.stdtrit(noise.df, alpha / 2)), special.ndtri(1 - alpha / 2)
    critical = np.where(
        matters, np.sqrt(normal**2 * noise.shared + student**2 * shown / noise.seeds), normal * np.sqrt(images)
    )
    spread = np.sqrt(noise.shared + between / noise.seeds)
    if not (spread > 0).all():
        return 0.0
    low, high = 0.0, float((critical + 4 * spread).max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        power = special.ndtr((middle - critical) / spread).mean()
        low, high = (middle, high) if power < POWER else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=64)
def _chi_squares(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Two independent samples of chi-square on `df` degrees of freedom: evenly spaced quantiles, one of them shuffled."""
    quantiles = 2 * special.gammaincinv(df / 2, (np.arange(_POINTS) + 0.5) / _POINTS)
    return quantiles, rng(0, "chi squares").permutation(quantiles)


def _with_images(noise: Noise, times: float) -> Noise:
    own = noise.own
    between = own + (noise.between - own) / times
    return replace(noise, shared=noise.shared / times, by_images=noise.by_images / times, between=between)


def _with_seeds(noise: Noise, seeds: int) -> Noise:
    return replace(noise, seeds=seeds, df=noise.df + seeds - noise.seeds)


def _fewest(detectable: Callable[[float], float], effect: float, present: int) -> int | None:
    """Smallest multiple of what is `present` that makes `effect` detectable; None where `_REACH` times would not do."""
    if detectable(_REACH) > effect:
        return None
    low, high = 1 / present, 1.0
    while detectable(high) > effect:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if detectable(middle) > effect else (low, middle)
    return int(np.ceil(high * present - 1e-3))
