"""A configuration's metric -> Resampled and Interval, straight from the run folder; seed noise alone where no images were kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import special

from analysis import metric_names
from analysis.frames import Run
from analysis.intervals import (
    DRAWS,
    HALF_A_CASE,
    Interval,
    Resampled,
    SeedPrior,
    independent,
    interval,
    paired,
    resample,
)
from analysis.metric_names import MetricName
from analysis.outcomes import (
    MEASURES,
    Measure,
    Outcomes,
    accuracy,
    acquisition_outcomes,
    attacked_logits,
    breaking_outcomes,
    prediction_outcomes,
    standing_at,
)
from analysis.seed_variance import difference_prior
from sweep.core.acquisition_names import ACQUISITION_METRICS, condition_of
from sweep.core.epsilon import parse_epsilon
from sweep.core.metric_table import ACQUISITION_ACCURACY, DOMAIN_GAP_VS_REAL_ONLY, HIGH, LOW, MEAN, PREDICTED, WORST

PRIOR_DF = (
    4.0  # what the other configurations count for: two seeds then rest on five degrees of freedom, ten on thirteen
)
_MOST_KEPT = 16  # arrangements of images: small beside what is resampled from them
PREDICTED_LEVEL = 0.9  # of the intervals that are recorded with predictions for an unlabelled target


@dataclass
class Estimates:
    """Intervals of one run's configurations; everything asked for is kept, since figures ask for the same numbers."""

    run: Run
    draws: int = DRAWS
    seed: int = 0
    _kept: dict = field(default_factory=dict, repr=False)
    _last: dict[tuple[str, ...], Outcomes | None] = field(default_factory=dict, repr=False)

    def resampled(self, signature: str, metric: str) -> Resampled | None:
        """The metric under resampling; None when the images it needs were not kept."""
        key = signature, metric
        if key not in self._kept:
            sample = self._resample(signature, metric)
            most = metric_names.largest_difference(metric)
            self._kept[key] = None if sample is None else replace(sample, prior=self.prior(metric), most=most)
        return self._kept[key]

    def prior(self, metric: str) -> SeedPrior | None:
        """Mean variance between seeds over all configurations of the run; None where none ran two seeds or the metric was not recorded."""
        if ("prior", metric) not in self._kept:
            self._kept["prior", metric] = _pooled(self.run.records[metric]) if metric in self.run.records else None
        return self._kept["prior", metric]

    def of(self, signature: str, metric: str, level: float = 0.95) -> Interval:
        """Interval over patients and seeds, or Student's over seeds where no images were kept (then `images` is 0)."""
        if metric in self.run.records and _is_predicted(metric):
            return self._predicted(signature, metric)
        sample = self.resampled(signature, metric)
        if sample is not None:
            bounds = metric_names.limits(metric)
            made = interval(sample, level=level, limits=bounds, seed=self.seed, share=_is_share(metric))
            return self._at_least_of_parts(made, signature, metric, level) if metric_names.is_gap(metric) else made
        values = self.run.records[metric].loc[[signature]].dropna().to_numpy()
        return seeds_only(values, level, metric_names.limits(metric))

    def _at_least_of_parts(self, made: Interval, signature: str, metric: str, level: float) -> Interval:
        """A gap's interval where one of its scores is (nearly) perfect, so that resampling shows nothing of its noise.

        Then at least that of Newcombe (1998, method 10), made of the intervals of the two scores.
        """
        _, _, family = metric_names.parse(metric).family.partition("/")
        names = [f"{family or 'auroc'}/{split}" for split in ("source", "target")]
        samples = [self.resampled(signature, name) for name in names]
        if not any(one and (1 - one.point.mean()) * one.rests_on < HALF_A_CASE for one in samples):
            return made
        source, target = (self.of(signature, name, level) for name in names)
        below = np.hypot(source.estimate - source.low, target.high - target.estimate)
        above = np.hypot(source.high - source.estimate, target.estimate - target.low)
        low, high = min(made.low, made.estimate - below), max(made.high, made.estimate + above)
        return replace(made, low=float(low), high=float(high))

    def _predicted(self, signature: str, metric: str) -> Interval:
        """A prediction without target labels with the 90 % interval that was recorded with it, means over seeds: they share most of its error."""
        name, _, split = metric.partition("/")
        rows = self.run.records.loc[[signature]]
        value, low, high = (
            float(rows[column].mean()) if (column := f"{name}{end}/{split}") in rows else float("nan")
            for end in ("", LOW, HIGH)
        )
        return Interval(value, low, high, PREDICTED_LEVEL, 0, 0, int(rows[metric].notna().sum()))

    def difference(self, a: str, b: str, metric: str, level: float = 0.95) -> Interval | None:
        """a minus b, paired by image and seed; None without kept images or common seeds."""
        sample = self.paired(a, b, metric)
        return None if sample is None else interval(sample, level=level, seed=self.seed)

    def paired(self, a: str, b: str, metric: str) -> Resampled | None:
        """a minus b under resampling; None when the two were not tested on the same images or share no seed.

        The same images: by their ids. Two test sets of equal size, as the two directions of a sweep have, are no pairs.
        """
        sample, prior = (
            paired_samples(self.resampled(a, metric), self.resampled(b, metric)),
            self.difference_prior(metric),
        )
        return sample if sample is None or prior is None else replace(sample, prior=prior)

    def difference_prior(self, metric: str) -> SeedPrior | None:
        """Variance between seeds of a difference of two recipes, learnt from all recipes of the run; None with fewer than three."""
        if ("difference prior", metric) not in self._kept:
            known = metric in self.run.records
            self._kept["difference prior", metric] = difference_prior(self.run.records[metric]) if known else None
        return self._kept["difference prior", metric]

    def _resample(self, signature: str, metric: str) -> Resampled | None:
        name = metric_names.parse(metric)
        if name.family == DOMAIN_GAP_VS_REAL_ONLY:
            partner = self.run.partners.get(signature)
            return self.gap_against(partner, signature) if partner else None
        if metric_names.is_gap(metric):
            _, _, family = name.family.partition("/")
            source, target = (
                self.resampled(signature, f"{family or 'auroc'}/{split}") for split in ("source", "target")
            )
            return independent(source, target) if source and target else None
        if name.family in ACQUISITION_METRICS and name.threat == MEAN:
            return self._over_conditions(signature, name)
        outcomes, measure = self.outcomes(signature, metric), _measure(name)
        if outcomes is None or measure is None:
            return None
        if name.class_name:
            if name.class_name not in self.run.tasks:
                return None
            outcomes, _ = outcomes.of_class(self.run.tasks.index(name.class_name))
        return resample(outcomes, measure, draws=self.draws, seed=self.seed)

    def _over_conditions(self, signature: str, name: MetricName) -> Resampled | None:
        """The mean of an acquisition metric over all changes and severities that were recorded, resampled together."""
        parsed = [metric_names.parse(metric) for metric in self.run.metrics]
        chosen = [one for one in parsed if (one.family, one.split) == (name.family, name.split) and one.threat]
        conditions = [one for one in chosen if (at := condition_of(one.threat or "")) and at[0] != WORST]
        samples = [sample for one in conditions if (sample := self.resampled(signature, str(one))) is not None]
        if not samples or len(samples) < len(conditions):
            return None
        means = {
            part: np.mean([getattr(one, part) for one in samples], axis=0) for part in ("point", "draws", "jackknife")
        }
        return replace(samples[0], **means)

    def gap_against(self, partner: str, signature: str, family: str = "auroc") -> Resampled | None:
        """Source test of `partner` minus target of this configuration (the papers' gap), seed by seed; None without kept images.

        A seed that the partner did not run is held against the partner's mean over seeds, as in the recorded numbers.
        """
        source, target = self.resampled(partner, f"{family}/source"), self.resampled(signature, f"{family}/target")
        return independent(_for_seeds(source, target.seeds), target) if source and target else None

    def outcomes(self, signature: str, metric: str) -> Outcomes | None:
        """The per-image outcomes that a metric is computed from; None when they were not kept."""
        name = metric_names.parse(metric)
        if name.split is None:
            return None
        if name.threat:
            if name.family in ACQUISITION_METRICS:
                at = condition_of(name.threat)
                return acquisition_outcomes(self.run.acquisition(signature), name.split, *at) if at else None
            if name.eps is None:
                return None
            breaking = self._arranged(breaking_outcomes, self.run.attacks, signature, name.split, name.threat)
            if breaking is None:
                return None
            stands = standing_at(breaking, parse_epsilon(name.eps))
            if name.family == metric_names.ROBUST:
                return stands
            predicted = self._arranged(prediction_outcomes, self.run.predictions, signature, name.split)
            return None if predicted is None else attacked_logits(predicted, stands, clean=parse_epsilon(name.eps) == 0)
        return self._arranged(prediction_outcomes, self.run.predictions, signature, name.split)

    def _arranged(
        self, arrange: Callable[..., Outcomes | None], rows: Callable[[str], pd.DataFrame], signature: str, *which: str
    ) -> Outcomes | None:
        """`arrange` of the configuration's `rows`; the last few are kept, since a curve asks for the same images at every epsilon."""
        key = arrange.__name__, signature, *which
        if key not in self._last:
            self._last[key] = arrange(rows(signature), *which)
            while len(self._last) > _MOST_KEPT:
                del self._last[next(iter(self._last))]
        return self._last[key]


def _pooled(values: pd.Series) -> SeedPrior | None:
    by_config = values.dropna().groupby(level="signature")
    spread, counts = by_config.var(ddof=1), by_config.size() - 1
    df = float(counts.sum())
    return SeedPrior(float((spread.fillna(0) * counts).sum() / df), min(PRIOR_DF, df)) if df > 0 else None


def paired_samples(a: Resampled | None, b: Resampled | None) -> Resampled | None:
    """a minus b where both rest on the same images and some common seed; else None."""
    if a is None or b is None or a.drawn_from != b.drawn_from or not set(a.seeds) & set(b.seeds):
        return None
    return paired(a, b)


def _for_seeds(sample: Resampled, seeds: tuple[int, ...]) -> Resampled:
    """The sample with one column for each of `seeds`: its own where it ran, else its mean over seeds."""
    columns = [sample.seeds.index(seed) if seed in sample.seeds else None for seed in seeds]

    def chosen(values: np.ndarray) -> np.ndarray:
        return np.stack([values.mean(axis=-1) if at is None else values[..., at] for at in columns], axis=-1)

    point, draws, jackknife = chosen(sample.point), chosen(sample.draws), chosen(sample.jackknife)
    return replace(sample, seeds=seeds, point=point, draws=draws, jackknife=jackknife)


def _is_predicted(metric: str) -> bool:
    name, _, split = metric.partition("/")
    return name.startswith(PREDICTED) and bool(split) and not name.endswith((LOW, HIGH))


def _measure(name: MetricName) -> Measure | None:
    if name.family == metric_names.ROBUST:
        return accuracy
    return MEASURES.get(name.family.removeprefix("robust_").removeprefix("acquisition_"))


def _is_share(metric: str) -> bool:
    family = metric_names.parse(metric).family
    return family in (
        "accuracy",
        "constant_accuracy",
        "sensitivity",
        "specificity",
        metric_names.ROBUST,
        ACQUISITION_ACCURACY,
    )


def seeds_only(values: np.ndarray, level: float, bounds: tuple[float, float]) -> Interval:
    """Student's interval of a mean over seeds; no width can be stated from one seed, so it spans `bounds`."""
    values = np.asarray(values, dtype=float)
    mean, count = float(values.mean()) if len(values) else float("nan"), len(values)
    if count < 2 or not np.isfinite(values).all():
        return Interval(mean, bounds[0], bounds[1], level, 0, 0, count)
    half = special.stdtrit(count - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(count)
    low, high = np.clip([mean - half, mean + half], *bounds)
    return Interval(mean, float(low), float(high), level, 0, 0, count)
