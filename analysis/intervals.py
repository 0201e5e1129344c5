"""Per-image outcomes -> a number with its interval: patients and seeds are both sources of chance.

The test images are shared by all seeds (crossed, not nested), so patients are resampled once for all seeds. Where seeds differ by more
than image noise explains, their spread enters as Student's t, moderated by the spread seen in the sweep's other configurations:
resampling a handful of seeds would understate it, and resampling both ways would count the seed-by-image noise three times.
The interval is BCa (Efron 1987): bias-corrected, accelerated by the jackknife over patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to import

from analysis.outcomes import OF_CLASS_MIX, Measure, Outcomes, cases
from sweep.core.hashing import content_hash
from sweep.core.seeds import rng

DRAWS = 2000
_MOST_CELLS = 40_000_000  # draws x images held at once (float64: 320 MB)
_FEW_CELLS = 2_000_000  # draws x images (16 MB) of which many sets of weights are kept
_JACKKNIFE_BLOCKS = 200
OPPOSED = (
    0.25  # of the image noise that independent seeds would leave in their mean; below, seeds work against each other
)
FEW = 5  # patients on one side of a share below which resampling them is not trusted alone
HALF_A_CASE = 0.5  # the same for measures that average over classes, in patients of the smaller class


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided interval and what it rests on."""

    estimate: float
    low: float
    high: float
    level: float
    images: int
    groups: int
    seeds: int

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class SeedPrior:
    """Spread between seeds seen in the other configurations of a sweep: a variance, and the degrees of freedom it counts for."""

    variance: float
    df: float


@dataclass(frozen=True)
class Resampled:
    """A measure under resampling of patients: [S] as observed, [B, S] resampled, [G, S] with each block of patients left out."""

    seeds: tuple[int, ...]
    point: np.ndarray
    draws: np.ndarray
    jackknife: np.ndarray
    images: int
    groups: int
    prior: SeedPrior | None = None
    cases: int | None = None  # patients that the measure rests on, e.g. of the smaller class; all of them when None
    drawn_from: str = ""  # names the images and patients: only samples of the same ones pair up
    most: float = np.inf  # width of the metric's range, which neither it nor a difference of two models can exceed

    @property
    def rests_on(self) -> int:
        """Patients behind the measure."""
        return self.groups if self.cases is None else self.cases

    @property
    def mean(self) -> np.ndarray:
        """Mean over seeds of each draw [B]."""
        return self.draws.mean(axis=1)


def resample(outcomes: Outcomes, measure: Measure, *, draws: int = DRAWS, seed: int = 0) -> Resampled:
    """Evaluate `measure` on resampled patients; the same images and seed give the same resamples, so results pair up."""
    draws = max(200, min(draws, _MOST_CELLS // len(outcomes.images)))
    weights = patient_weights(outcomes, draws, seed, class_mix=measure in OF_CLASS_MIX)
    point = measure(outcomes, np.ones((1, len(outcomes.images))))[0]
    left_out = _or_point(measure(outcomes, _leave_out(outcomes)), point)
    values = _or_point(measure(outcomes, weights), point)
    names = content_hash([outcomes.images.tolist(), outcomes.groups.tolist()])
    sizes = len(outcomes.images), len(np.unique(outcomes.groups))
    return Resampled(outcomes.seeds, point, values, left_out, *sizes, cases=cases(outcomes, measure), drawn_from=names)


def _or_point(values: np.ndarray, point: np.ndarray) -> np.ndarray:
    # A draw without one class says nothing.
    return np.where(np.isnan(values), point, values)


def patient_weights(outcomes: Outcomes, draws: int, seed: int, *, class_mix: bool = False) -> np.ndarray:
    """How often each image is drawn [B, N], read-only: patients with replacement, within the class of their worst image.

    With `class_mix`, over all classes, so that the share of each class varies as it would in another test set: for measures that depend
    on it. Of several findings an image, the class is the rarest finding that a patient has.
    """
    names, group = np.unique(outcomes.groups, return_inverse=True)
    stratum = np.zeros(len(names), dtype=int)
    if not class_mix:
        np.maximum.at(stratum, group, _strata(outcomes.labels))
    content = "\n".join(outcomes.images.tolist())  # the same images give the same draws, so that results pair up
    kept = _few_cells if draws * len(group) <= _FEW_CELLS else _many_cells
    return kept(content, group.tobytes(), stratum.tobytes(), draws, seed)


def _strata(labels: np.ndarray) -> np.ndarray:
    """int [N]: the class, or of findings [N, K] the place of the rarest present one among all by frequency; 0 for none."""
    if labels.ndim == 1:
        return labels
    present = labels == 1
    place = np.empty(labels.shape[1], dtype=int)
    place[np.argsort(-present.sum(axis=0), kind="stable")] = np.arange(1, labels.shape[1] + 1)
    return (present * place).max(axis=1)


def _drawn_weights(content: str, group_bytes: bytes, stratum_bytes: bytes, draws: int, seed: int) -> np.ndarray:
    group, stratum = np.frombuffer(group_bytes, dtype=int), np.frombuffer(stratum_bytes, dtype=int)
    generator = rng(seed, "patients", content)
    counts = np.zeros((draws, len(stratum)))
    for label in np.unique(stratum):
        members = np.flatnonzero(stratum == label)
        counts[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    weights = counts[:, group]
    weights.flags.writeable = False
    return weights


# Each split is drawn with and without its class mix, whole and as far as it was attacked: all of them are asked for again and again.
_few_cells, _many_cells = lru_cache(maxsize=24)(_drawn_weights), lru_cache(maxsize=2)(_drawn_weights)


def _leave_out(outcomes: Outcomes) -> np.ndarray:
    _, group = np.unique(outcomes.groups, return_inverse=True)
    block = group % min(_JACKKNIFE_BLOCKS, group.max() + 1)
    return 1.0 - (block[None, :] == np.arange(block.max() + 1)[:, None])


def paired(a: Resampled, b: Resampled) -> Resampled:
    """a minus b on the same images: draw by draw, and seed by seed over the seeds that both ran."""
    common = [seed for seed in a.seeds if seed in b.seeds]
    i, j = [a.seeds.index(s) for s in common], [b.seeds.index(s) for s in common]
    return Resampled(
        tuple(common),
        a.point[i] - b.point[j],
        a.draws[:, i] - b.draws[:, j],
        a.jackknife[:, i] - b.jackknife[:, j],
        a.images,
        a.groups,
        _added(a.prior, b.prior),
        min(a.rests_on, b.rests_on),
        a.drawn_from,
        min(a.most, b.most),
    )


def independent(a: Resampled, b: Resampled) -> Resampled:
    """a minus b on different images (source and target test) of the same seeds."""
    common = [seed for seed in a.seeds if seed in b.seeds]
    i, j = [a.seeds.index(s) for s in common], [b.seeds.index(s) for s in common]
    draws = min(len(a.draws), len(b.draws))
    left_out = np.concatenate([a.jackknife[:, i] - b.point[j], a.point[i] - b.jackknife[:, j]])
    return Resampled(
        tuple(common),
        a.point[i] - b.point[j],
        a.draws[:draws, i] - b.draws[:draws][:, j],
        left_out,
        a.images + b.images,
        a.groups + b.groups,
        _added(a.prior, b.prior),
        min(a.rests_on, b.rests_on),
        a.drawn_from + b.drawn_from,
    )


def _added(a: SeedPrior | None, b: SeedPrior | None) -> SeedPrior | None:
    # Two recipes under one seed share little, so the variance of their difference is taken as the sum.
    return SeedPrior(a.variance + b.variance, min(a.df, b.df)) if a and b else None


@dataclass(frozen=True)
class Noise:
    """Where the chance in a mean over seeds comes from, as variances: images alike for all seeds, each seed's draw of images, seeds."""

    shared: float  # of the mean, common to all seeds
    by_images: float  # of one seed's score, beyond the shared part
    between: float  # between seeds: `by_images` and the seeds' own effects
    seeds: int
    df: float  # degrees of freedom behind `between`
    opposed: bool = (
        False  # what one seed gains of an image another loses, so that their mean hardly moves with the images
    )

    @property
    def own(self) -> float:
        """Variance of the seeds' own effects; 0 where image noise explains the spread between seeds."""
        return max(0.0, self.between - self.by_images)

    @property
    def seeds_matter(self) -> bool:
        """Whether the spread between seeds is used as observed; half of what images explain is the line that keeps false positives below 6 %."""
        return self.df > 0 and self.between > 0 and (self.opposed or self.between > 0.5 * self.by_images)

    @property
    def image_scale(self) -> float:
        """Factor on resampled deviations that takes out what the spread between seeds already holds."""
        total = self.shared + self.by_images / self.seeds
        return float(np.sqrt(self.shared / total)) if self.seeds_matter and total > 0 else 1.0

    @property
    def seed_scale(self) -> float:
        """Standard error that multiplies Student's t on `df` degrees of freedom."""
        return float(np.sqrt(self.between / self.seeds)) if self.seeds_matter else 0.0


def noise_of(sample: Resampled) -> Noise:
    """Variance components of a sample; with one seed all image noise counts as shared.

    The spread between a few seeds is moderated by the prior, as if its degrees of freedom had been observed too (Smyth 2004).
    """
    count, total = len(sample.seeds), float(sample.mean.var())
    prior = sample.prior or SeedPrior(0.0, 0.0)
    df = prior.df + count - 1
    squares = float(((sample.point - sample.point.mean()) ** 2).sum())
    between = (prior.df * prior.variance + squares) / df if df > 0 else 0.0
    if count < 2:
        return Noise(total, 0.0, between, count, df)
    centred = sample.draws - sample.draws.mean(axis=1, keepdims=True)
    by_images = float(centred.var(axis=0).sum() / (count - 1))
    opposed = total < OPPOSED * by_images / count
    return Noise(max(0.0, total - by_images / count), by_images, between, count, df, opposed)


def interval(
    sample: Resampled,
    *,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
    seed: int = 0,
    share: bool = False,
) -> Interval:
    """BCa interval of the mean over seeds, cut to `limits`; with one seed and no prior it covers image noise only.

    `share`: the measure is a share of images. Where few patients are on one side, the interval is at least Clopper and Pearson's; of a
    measure in [0, 1] that averages over classes, where less than half a patient of the smaller class is missed. NaN where undefined.
    """
    estimate, noise, draws = float(sample.point.mean()), noise_of(sample), sample.mean

    def made(low: float, high: float) -> Interval:
        return Interval(estimate, float(low), float(high), level, sample.images, sample.groups, noise.seeds)

    if not np.isfinite(estimate):
        return made(float("nan"), float("nan"))
    bounded = limits == (0.0, 1.0)
    if np.ptp(draws) == 0 and estimate in limits and bounded:
        return made(*counted(estimate, sample.rests_on, level))
    image_share = 1.0
    if noise.seeds_matter:
        centre = draws.mean()
        draws = centre + (draws - centre) * noise.image_scale
        steps = rng(seed, "seed effects", noise.seeds).permutation(len(draws))
        effect = special.stdtrit(noise.df, (steps + 0.5) / len(draws)) * noise.seed_scale
        image_share = draws.var() / (draws.var() + noise.seed_scale**2)
        draws = draws + effect
    left_out = sample.jackknife.mean(axis=1)
    low, high = np.clip(_bca(estimate, draws, left_out, image_share, level, sample.rests_on), *limits)
    low, high = max(low, -sample.most), min(high, sample.most)
    missed = min(estimate, 1 - estimate) * sample.rests_on
    if bounded and missed < (FEW if share else HALF_A_CASE):
        ends = counted(estimate, sample.rests_on, level)
        low, high = min(low, ends[0]), max(high, ends[1])
    return made(low, high)


def counted(estimate: float, patients: float, level: float) -> tuple[float, float]:
    """Clopper and Pearson's (1934) interval of a share of so many patients: what resampling a handful of cases cannot show."""
    tail, cases = (1 - level) / 2, estimate * patients
    low = special.betaincinv(cases, patients - cases + 1, tail) if cases > 0 else 0.0
    high = special.betaincinv(cases + 1, patients - cases, 1 - tail) if cases < patients else 1.0
    return float(low), float(high)


def _bca(
    estimate: float, draws: np.ndarray, left_out: np.ndarray, image_share: float, level: float, patients: int
) -> np.ndarray:
    if np.ptp(draws) == 0:
        return np.array([estimate, estimate])
    below = ((draws < estimate).mean() + (draws <= estimate).mean()) / 2
    bias = special.ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    away = left_out.mean() - left_out
    spread = (away**2).sum() ** 1.5
    # The seeds' part is symmetric: only the image part of the variance is skewed.
    acceleration = (away**3).sum() / (6 * spread) * image_share**1.5 if spread > 0 else 0.0
    edge = bias + expanded(np.array([(1 - level) / 2, (1 + level) / 2]), patients, image_share)
    return np.quantile(draws, special.ndtr(bias + edge / (1 - acceleration * edge)))


def expanded(shares: np.ndarray, patients: int, image_share: float = 1.0) -> np.ndarray:
    """Normal deviates that undo the narrowness of resampling few patients (Hesterberg 2015, section 5.3).

    Resampling n patients understates the variance by (n - 1)/n and has the tails of a normal, not Student's. With n patients in the smaller
    class there are at least 2 (n - 1) degrees of freedom. The factor applies to the part of the variance that images have.
    """
    plain = special.ndtri(shares)
    if patients < 2:
        return plain
    factor = np.sqrt(patients / (patients - 1)) * special.stdtrit(2 * (patients - 1), shares) / plain
    return plain * np.sqrt(image_share * factor**2 + 1 - image_share)
