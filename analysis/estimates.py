"""A configuration's metric -> Resampled and Interval, straight from the run folder; seed noise alone where no images were kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import special

from analysis import metric_names
from analysis.frames import Run
from analysis.intervals import DRAWS, Interval, Resampled, SeedPrior, independent, interval, paired, resample
from analysis.outcomes import MEASURES, Outcomes, accuracy, attacked_logits, prediction_outcomes, robust_outcomes
from analysis.seed_variance import difference_prior

PRIOR_DF = (
    4.0  # what the other configurations count for: two seeds then rest on five degrees of freedom, ten on thirteen
)


@dataclass
class Estimates:
    """Intervals of one run's configurations; everything asked for is kept, since figures ask for the same numbers."""

    run: Run
    draws: int = DRAWS
    seed: int = 0
    _kept: dict = field(default_factory=dict, repr=False)

    def resampled(self, signature: str, metric: str) -> Resampled | None:
        """The metric under resampling; None when the images it needs were not kept."""
        key = signature, metric
        if key not in self._kept:
            sample = self._resample(signature, metric)
            self._kept[key] = None if sample is None else replace(sample, prior=self.prior(metric))
        return self._kept[key]

    def prior(self, metric: str) -> SeedPrior | None:
        """Mean variance between seeds over all configurations of the run; None where none ran two seeds or the metric was not recorded."""
        if ("prior", metric) not in self._kept:
            self._kept["prior", metric] = _pooled(self.run.records[metric]) if metric in self.run.records else None
        return self._kept["prior", metric]

    def of(self, signature: str, metric: str, level: float = 0.95) -> Interval:
        """Interval over patients and seeds, or Student's over seeds where no images were kept (then `images` is 0)."""
        sample = self.resampled(signature, metric)
        if sample is not None:
            share = metric_names.parse(metric).family in ("accuracy", metric_names.ROBUST)
            return interval(sample, level=level, limits=limits(metric), seed=self.seed, share=share)
        return seeds_only(self.run.records[metric].loc[[signature]].dropna().to_numpy(), level, limits(metric))

    def difference(self, a: str, b: str, metric: str, level: float = 0.95) -> Interval | None:
        """a minus b, paired by image and seed; None without kept images or common seeds."""
        sample = self.paired(a, b, metric)
        return None if sample is None else interval(sample, level=level, seed=self.seed)

    def paired(self, a: str, b: str, metric: str) -> Resampled | None:
        """a minus b under resampling; None when the two were not tested on the same images or share no seed."""
        first, second = self.resampled(a, metric), self.resampled(b, metric)
        if first is None or second is None or not set(first.seeds) & set(second.seeds):
            return None
        if (first.images, first.groups) != (second.images, second.groups):
            return None
        sample, prior = paired(first, second), self.difference_prior(metric)
        return sample if prior is None else replace(sample, prior=prior)

    def difference_prior(self, metric: str) -> SeedPrior | None:
        """Variance between seeds of a difference of two recipes, learnt from all recipes of the run; None with fewer than three."""
        if ("difference prior", metric) not in self._kept:
            known = metric in self.run.records
            self._kept["difference prior", metric] = difference_prior(self.run.records[metric]) if known else None
        return self._kept["difference prior", metric]

    def _resample(self, signature: str, metric: str) -> Resampled | None:
        name = metric_names.parse(metric)
        if name.family in ("domain_gap", "domain_gap/accuracy"):
            family = "accuracy" if "accuracy" in name.family else "auroc"
            source, target = (self.resampled(signature, f"{family}/{split}") for split in ("source", "target"))
            return independent(source, target) if source and target else None
        outcomes = self.outcomes(signature, metric)
        measure = accuracy if name.family == metric_names.ROBUST else MEASURES.get(name.family.removeprefix("robust_"))
        if outcomes is None or measure is None:
            return None
        if name.finding:
            if name.finding not in self.run.findings:
                return None
            outcomes, _ = outcomes.finding(self.run.findings.index(name.finding))
        return resample(outcomes, measure, draws=self.draws, seed=self.seed)

    def outcomes(self, signature: str, metric: str) -> Outcomes | None:
        """The per-image outcomes that a metric is computed from; None when they were not kept."""
        name = metric_names.parse(metric)
        if name.threat:
            stands = robust_outcomes(
                self.run.attacks(signature), name.split, metric_names.epsilon(name.eps), name.threat
            )
            if name.family == metric_names.ROBUST or stands is None:
                return stands
            predicted = prediction_outcomes(self.run.predictions(signature), name.split)
            return (
                None
                if predicted is None
                else attacked_logits(predicted, stands, clean=metric_names.epsilon(name.eps) == 0)
            )
        return prediction_outcomes(self.run.predictions(signature), name.split) if name.split else None


def _pooled(values: pd.Series) -> SeedPrior | None:
    by_config = values.dropna().groupby(level="signature")
    spread, counts = by_config.var(ddof=1), by_config.size() - 1
    df = float(counts.sum())
    return SeedPrior(float((spread.fillna(0) * counts).sum() / df), min(PRIOR_DF, df)) if df > 0 else None


def limits(metric: str) -> tuple[float, float]:
    """The range a metric can take."""
    if metric.startswith("domain_gap"):
        return (-1.0, 1.0)
    return (0.0, 1.0) if metric_names.goal(metric) == "maximize" or metric.startswith("ece") else (-np.inf, np.inf)


def seeds_only(values: np.ndarray, level: float, bounds: tuple[float, float]) -> Interval:
    """Student's interval of a mean over seeds; no width can be stated from one seed, so it spans `bounds`."""
    values = np.asarray(values, dtype=float)
    mean, count = float(values.mean()) if len(values) else float("nan"), len(values)
    if count < 2:
        return Interval(mean, bounds[0], bounds[1], level, 0, 0, count)
    half = special.stdtrit(count - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(count)
    low, high = np.clip([mean - half, mean + half], *bounds)
    return Interval(mean, float(low), float(high), level, 0, 0, count)
