"""Run and ranking -> how far the named winner can be believed: its score corrected for having been chosen, and the chance that it is no better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import metric_names
from analysis.conditions import conditions
from analysis.constraints import parse_constraint, passing
from analysis.estimates import Estimates
from analysis.figures.figure import with_interval
from analysis.frames import Run
from analysis.intervals import Interval, Resampled, patient_weights
from analysis.outcomes import MEASURES
from analysis.ranking import PARETO, Ranking, goodness, objectives, ranked_by, scores
from analysis.selection import RULES
from analysis.selection_bias import DRAWS, Repeated, corrected_interval, leave_seed_out, repeat_selection
from analysis.superiority import beside_chance, chance_text, probability_over
from sweep.core.pareto import nondominated_rank

METRIC = "auroc/target"
MOST_CANDIDATES = 60  # configurations whose images are resampled; beyond, the selection is repeated over seeds alone
_NOTICEABLE = 0.005  # by which the repeated choice must score better, or it is the same within its own noise
SEVERAL_METRICS_DRAWS = 60  # bootstrap samples of a rule that ranks whole tables, about 3 ms each and seed


@dataclass(frozen=True)
class Corrected:
    """The winner's interval as observed, the one corrected for the selection, and what the correction covers."""

    metric: str
    observed: Interval
    corrected: Interval
    candidates: int
    images_resampled: bool
    seeds_left_out: bool

    @property
    def shows_no_luck(self) -> bool:
        """Whether the repeated choice scores better than the choice did: it then names other configurations, and nothing was too good."""
        gain = self.corrected.estimate - self.observed.estimate
        return gain * metric_names.sign(self.metric) > _NOTICEABLE


@dataclass(frozen=True)
class Rival:
    """Whom the winner is held against, and the probability that it is not truly better."""

    signature: str
    label: str
    role: str  # runner-up, real only
    false_superiority: float
    beside: str = ""  # what must be said beside that probability


@dataclass(frozen=True)
class Winner:
    """What is known of a ranking's first row beyond its own numbers."""

    signature: str
    label: str
    corrected: Corrected | None
    rivals: tuple[Rival, ...]
    chances: dict[str, float]  # by signature of the rows shown below it: probability of false superiority over them

    @property
    def corrected_text(self) -> str:
        """The corrected number with its interval; empty where there was no choice, or none that luck made look better."""
        if self.corrected is None or self.corrected.shows_no_luck:
            return ""
        return f"{metric_names.title(self.corrected.metric)} {with_interval(self.corrected.corrected)}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Plain sentences for the page and the terminal."""
        return (*_corrected_text(self.corrected), *_rival_text(self.rivals))


def winner(
    run: Run, ranking: Ranking, estimates: Estimates, *, constraints: Sequence[str] = (), metric: str = METRIC
) -> Winner | None:
    """Facts on the first row of a ranking under `constraints`; None where nothing has a score or `metric` was not recorded."""
    if not ranking.rows or metric not in run.metrics or np.isnan(ranking.rows[0].score):
        return None
    best = ranking.rows[0]
    run, ranking = _one_condition(run, ranking)
    keep = passing(run, [parse_constraint(text, run) for text in constraints]) & run.means[metric].notna()
    # The repeated choice takes the first of equal scores, as the ranking does.
    made = corrected(run, ranking, estimates, sorted(run.means.index[keep]), metric)
    chances = {
        row.signature: probability_over(run, estimates, best.signature, row.signature, metric)
        for row in ranking.rows[1:]
    }
    return Winner(best.signature, best.label, made, _rivals(run, ranking, estimates, metric), chances)


def _one_condition(run: Run, ranking: Ranking) -> tuple[Run, Ranking]:
    """The run and the ranking within the condition of the first row: models of another direction or training size were no choice."""
    rows = tuple(row for row in ranking.rows if row.condition == ranking.rows[0].condition)
    found = conditions(run)
    members = [key for key in run.means.index if found[key] == found[rows[0].signature]]
    return run if len(members) == len(found) else run.within(members), replace(ranking, rows=rows)


def corrected(
    run: Run, ranking: Ranking, estimates: Estimates, keys: list[str], metric: str = METRIC
) -> Corrected | None:
    """The winner's `metric` with the selection among `keys` repeated (see `analysis.selection_bias`); None where there was no choice."""
    best = ranking.rows[0].signature
    if len(keys) < 2 or best not in keys:
        return None
    observed = estimates.of(best, metric)
    quick = Estimates(run, draws=DRAWS, seed=estimates.seed)
    samples = [quick.resampled(key, metric) for key in keys] if len(keys) <= MOST_CANDIDATES else []
    resampled = [sample for sample in samples if sample is not None]
    by_images = len(resampled) == len(keys) and len({len(sample.draws) for sample in resampled}) == 1
    repeated = _repeated(run, ranking, quick, keys, metric, resampled if by_images else [])
    if not np.isfinite(repeated.score) or not (by_images or repeated.seeds_left_out):
        return None
    if by_images and len({(sample.seeds, sample.jackknife.shape) for sample in resampled}) == 1:
        made = corrected_interval(repeated, resampled, limits=metric_names.limits(metric), seed=estimates.seed)
    else:
        shift = repeated.score - observed.estimate
        low, high = np.clip([observed.low + shift, observed.high + shift], *metric_names.limits(metric))
        made = replace(observed, estimate=repeated.score, low=float(low), high=float(high))
    return Corrected(metric, observed, made, len(keys), by_images, repeated.seeds_left_out)


def _repeated(
    run: Run, ranking: Ranking, estimates: Estimates, keys: list[str], metric: str, samples: Sequence[Resampled]
) -> Repeated:
    seeds = sorted(set(run.records.index.get_level_values("seed")), key=str)
    by = ranked_by(run, ranking.by)
    draws = DRAWS if len(by) == 1 else SEVERAL_METRICS_DRAWS
    looked_at = [estimates.resampled(key, name) for name in by for key in keys] if samples else []
    draws = min([draws, *(len(sample.draws) for sample in (*looked_at, *samples) if sample is not None)])
    seen = {name: _scores_by_seed(run, estimates, keys, name, seeds, draws if samples else 0) for name in by}
    rank_scores = _rank_scores(run, ranking.by, keys, {name: leave_seed_out(values) for name, values in seen.items()})
    held_out = _scores_by_seed(run, estimates, keys, metric, seeds, 0)
    if samples and ranking.oracle:
        held_out = _left_out_patients(estimates, keys, metric, seeds, draws)
    return repeat_selection(rank_scores, np.broadcast_to(held_out, rank_scores.shape))


def _scores_by_seed(
    run: Run, estimates: Estimates, keys: list[str], metric: str, seeds: list, draws: int
) -> np.ndarray:
    """[B, S, K]: bootstrap draws where the metric's images were kept and `draws` is above 0, else the records [1, S, K] repeated."""
    records = run.records[metric].unstack("seed").reindex(index=keys, columns=seeds).to_numpy(dtype=float)
    values = np.repeat(records.T[None], max(1, draws), axis=0)
    for column, key in enumerate(keys if draws else ()):
        sample = estimates.resampled(key, metric)
        if sample is not None:
            values[:, [seeds.index(seed) for seed in sample.seeds], column] = sample.draws[:draws]
    return values


def _left_out_patients(estimates: Estimates, keys: list[str], metric: str, seeds: list, draws: int) -> np.ndarray:
    values = np.full((draws, len(seeds), len(keys)), np.nan)
    for column, key in enumerate(keys):
        sample, outcomes = estimates.resampled(key, metric), estimates.outcomes(key, metric)
        measure = MEASURES.get(metric_names.parse(metric).family)
        if sample is None or outcomes is None or measure is None:
            continue
        weights = (patient_weights(outcomes, len(sample.draws), estimates.seed)[:draws] == 0).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            values[:, [seeds.index(seed) for seed in sample.seeds], column] = measure(outcomes, weights)
    return values


def _rank_scores(run: Run, by: str, keys: list[str], values: dict[str, np.ndarray]) -> np.ndarray:
    """What the rule makes of the means without each seed [B, S, K]."""
    if len(values) == 1:
        ((name, only),) = values.items()
        return only * _sign(run, by, name)
    shape = next(iter(values.values())).shape
    made = np.full(shape, np.nan)
    for draw in range(shape[0]):
        for seed in range(shape[1]):
            rows = run.means.loc[keys].copy()
            for name, array in values.items():
                rows[name] = array[draw, seed]
            rows.index = pd.MultiIndex.from_product([keys, [0]], names=["signature", "seed"])
            part = replace(run, records=rows, configs=run.configs.loc[keys], cache={})
            made[draw, seed] = _scored(part, by).reindex(keys).to_numpy()
    return made


def _scored(run: Run, by: str) -> pd.Series:
    score = scores(run, by)[0]
    return score - 2.0 * nondominated_rank(goodness(run, objectives(run))) if by == PARETO else score


def _sign(run: Run, by: str, name: str) -> float:
    return 1.0 if by in RULES else float(metric_names.sign(name, run.goals))


def _rivals(run: Run, ranking: Ranking, estimates: Estimates, metric: str) -> tuple[Rival, ...]:
    best, names = ranking.rows[0].signature, {row.signature: row.label for row in ranking.rows}
    found = {"runner-up": ranking.rows[1].signature} if len(ranking.rows) > 1 else {}
    control = run.partners.get(best)
    if control is not None and control != best:
        found["real only"] = control
        if control not in names:
            names |= run.labels
    rivals = []
    for role, key in found.items():
        difference = estimates.paired(best, key, metric)
        chance = probability_over(run, estimates, best, key, metric)
        if difference is not None and chance == chance:
            rivals.append(Rival(key, names[key], role, chance, beside_chance(difference)))
    return tuple(rivals)


def _corrected_text(made: Corrected | None) -> tuple[str, ...]:
    if made is None:
        return ()
    title = metric_names.title(made.metric)
    text = f"It was chosen among {made.candidates} configurations. "
    if made.shows_no_luck:
        text += (
            f"That choice, repeated on resampled patients and seeds, often names others, and reaches {title} {with_interval(made.corrected)}; "
            f"this one reads {with_interval(made.observed)}, which luck has not raised."
        )
    else:
        text += f"Corrected for that choice its {title} is {with_interval(made.corrected)}; uncorrected {with_interval(made.observed)}."
    if not made.seeds_left_out:
        text += " With one seed the luck of that seed cannot be taken out."
    if not made.images_resampled:
        text += " Only the luck of the seeds is corrected: the choice was not repeated over patients."
    return (text,)


def _rival_text(rivals: tuple[Rival, ...]) -> tuple[str, ...]:
    if not rivals:
        return ()
    parts = [f"{chance_text(rival.false_superiority)} over {_the(rival)}" for rival in rivals]
    return (
        f"Probability of false superiority (that it is not truly better): {' and '.join(parts)}{rivals[0].beside}.",
    )


def _the(rival: Rival) -> str:
    return f"the runner-up, {rival.label}" if rival.role == "runner-up" else f"real images only ({rival.label})"
