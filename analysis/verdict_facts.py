"""A run and its ranking -> the facts that the verdict's sentences and tiles are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from analysis import metric_names, selection
from analysis.comparisons import Compared, compare_family, equivalence_margin, power_note
from analysis.estimates import Estimates
from analysis.figures.ratio import RatioCurve
from analysis.frames import Run
from analysis.intervals import HALF_A_CASE, Interval, Resampled, interval, resample
from analysis.outcomes import Outcomes, accuracy, balanced_accuracy
from analysis.ranking import Ranked, Ranking, constants, goodness, objectives
from analysis.verdict import Difference, Facts, sentences
from analysis.verdict_recipe import ONE_CLASS, Recipe, Threshold, lowest_recall
from analysis.verdict_tiles import Tile, Verdict
from analysis.verdict_unlabelled_facts import verdict_on_target
from sweep.core.pareto import dominated_by_any

METRIC = "auroc/target"
RIVALS = 5
MOST_TILES = 7


def verdict(run: Run, ranking: Ranking, estimates: Estimates, curves: tuple[RatioCurve, ...]) -> Verdict:
    """The verdict on a ranking's first condition; `curves` hold the ratio comparisons where the sweep asked for them.

    Of a target whose labels nothing read it rests on predictions.
    """
    if selection.is_unlabelled(run):
        return verdict_on_target(run, ranking)
    facts = facts_of(run, ranking, estimates, curves)
    said = sentences(facts)
    rows = _first_condition(ranking)
    label = facts.chosen.label if facts.chosen else ""
    tiles = _tiles(run, rows[0].signature, estimates, facts.chosen) if rows and facts.chosen else ()
    return Verdict(label, said.recommendation, said.answer, tiles, said.power, said.usable)


def facts_of(run: Run, ranking: Ranking, estimates: Estimates, curves: tuple[RatioCurve, ...]) -> Facts:
    """The facts about the configuration that leads the first condition, its rivals and the ratios."""
    rows = _first_condition(ranking)
    first = next((row for row in rows if row.score == row.score), None)
    known = f"balanced_accuracy/{metric_names.DEFAULT_SPLIT}" in set(run.metrics) - set(run.undefined)
    base = Facts(
        rule=ranking.describe,
        chosen=None,
        finished=ranking.finished,
        planned=ranking.planned,
        configurations=len(rows),
        oracle=ranking.oracle,
        balanced_known=known,
    )
    if first is None:
        return base
    metric = METRIC if METRIC in set(run.metrics) - set(run.undefined) else ranking.metrics[0]
    rivals, ratios = _rivals(rows, first, estimates, metric), _ratios(curves)
    samples = [estimates.paired(one.a, one.b, METRIC) for one, _, _ in ratios]
    noisy = [sample for sample in samples or [_sample(rows, first, estimates, metric)] if sample is not None]
    middle = sorted(noisy, key=lambda sample: float(sample.mean.std()))[len(noisy) // 2] if noisy else None
    classes = run.classes if len(run.classes) == 2 and not run.findings else base.classes
    return replace(
        base,
        chosen=_recipe(run, first, estimates),
        chance=_chance(run),
        constant=constants(run, ["accuracy/target"]).get("accuracy/target"),
        classes=(classes[0], classes[1]),
        beat_chance=_beating(run, rows, estimates) if known else (),
        dominated_by=_dominating(run, rows, first),
        metric=metric,
        rivals=tuple(_difference(one, names, metric, run) for one, names in rivals),
        ratios=tuple(
            replace(_difference(one, {}, METRIC, run), where=cell, ratio=ratio) for one, cell, ratio in ratios
        ),
        asks_ratio=bool(curves),
        margin=_margin([sample for sample in samples if sample is not None]) if ratios else None,
        power=power_note(middle) if middle is not None and not _perfect(first, estimates, metric) else None,
        one_class=_one_class(run, classes),
        robust=_robust(run, first, estimates),
        others=_others(ranking, rows),
    )


def _one_class(run: Run, classes: Sequence[str]) -> str:
    """The class of all target images, where they are of a single one."""
    if run.findings or constants(run, ["accuracy/target"]).get("accuracy/target") != 1.0:
        return ""
    if len(classes) != 2 or "specificity/target" not in run.metrics:
        return "of one class"
    return classes[1] if "specificity/target" in run.undefined else classes[0]


def _perfect(first: Ranked, estimates: Estimates, metric: str) -> bool:
    """Whether the chosen one misses less than half a patient: resampling then shows no noise that a power could be computed from."""
    sample = estimates.resampled(first.signature, metric)
    return sample is not None and (1 - float(sample.point.mean())) * sample.rests_on < HALF_A_CASE


def _first_condition(ranking: Ranking) -> tuple[Ranked, ...]:
    return tuple(row for row in ranking.rows if row.condition == ranking.rows[0].condition)


def _others(ranking: Ranking, rows: Sequence[Ranked]) -> tuple[tuple[str, str], ...]:
    leaders = {row.condition: row.label for row in ranking.rows if row.rank == 1}
    return tuple(
        (condition.capitalize(), label) for condition, label in leaders.items() if condition != rows[0].condition
    )


def _chance(run: Run) -> float:
    return constants(run, ["balanced_accuracy/target"])["balanced_accuracy/target"]


def _recipe(run: Run, row: Ranked, estimates: Estimates) -> Recipe:
    def made(name: str) -> Interval | None:
        metric = f"{name}/target"
        if metric not in run.metrics:
            return None
        found = estimates.of(row.signature, metric)
        return found if found.estimate == found.estimate else None

    outcomes = estimates.outcomes(row.signature, METRIC)
    if outcomes is not None and outcomes.multi_label:
        outcomes = None  # several answers an image: no class is called
    two = outcomes is not None and outcomes.values.shape[2] == 2
    shares = called_shares(outcomes) if outcomes is not None else None
    likeliest = shares.mean(axis=0) if shares is not None else None
    failed = run.failures[run.failures["signature"] == row.signature]["seed"].nunique()
    share = source_share(run, row.signature)
    return Recipe(
        row.label,
        auroc=made("auroc"),
        balanced=made("balanced_accuracy"),
        accuracy=made("accuracy"),
        sensitivity=None if run.tasks else made("sensitivity"),
        specificity=None if run.tasks else made("specificity"),
        called_positive=float(likeliest[1]) if two and likeliest is not None else None,
        recalls=_recalls(run, outcomes, estimates) if outcomes is not None and not two else (),
        most_called=_most_called(run, likeliest) if likeliest is not None and not two else None,
        weakest=_weakest_finding(run, row.signature, estimates),
        one_class_seeds=int((shares.max(axis=1) >= ONE_CLASS).sum()) if shares is not None else 0,
        front=row.front,
        failed_seeds=int(failed),
        threshold=recalibrated(outcomes, share, estimates) if two and outcomes is not None else None,
    )


def called_shares(outcomes: Outcomes) -> np.ndarray:
    """Share of the images that each seed calls each class [S, K]; equal logits are a call of the first class."""
    called = outcomes.values.argmax(axis=2)[:, :, None] == np.arange(outcomes.values.shape[2])
    shares: np.ndarray = (called & outcomes.seen[:, :, None]).sum(axis=1) / np.maximum(
        outcomes.seen.sum(axis=1), 1
    ).reshape(-1, 1)
    return shares


def _recalls(run: Run, outcomes: Outcomes, estimates: Estimates) -> tuple[tuple[str, Interval], ...]:
    """Recall of each class that the images have: accuracy on the images of that class."""
    found = []
    for k, name in enumerate(run.classes):
        own = np.flatnonzero(outcomes.labels == k)
        if len(own):
            part = outcomes.take(list(range(len(outcomes.seeds))), own)
            sample = resample(part, accuracy, draws=estimates.draws, seed=estimates.seed)
            found.append((name, interval(sample, limits=(0.0, 1.0), seed=estimates.seed, share=True)))
    return tuple(found)


def _most_called(run: Run, shares: np.ndarray) -> tuple[str, float] | None:
    at = int(shares.argmax())
    return (run.classes[at], float(shares[at])) if at < len(run.classes) else None


def _weakest_finding(run: Run, signature: str, estimates: Estimates) -> tuple[str, Interval] | None:
    names = [name for name in run.findings if f"{METRIC}/{name}" in set(run.metrics) - set(run.undefined)]
    made = [(name, estimates.of(signature, f"{METRIC}/{name}")) for name in names]
    return min(
        ((name, one) for name, one in made if one.estimate == one.estimate),
        key=lambda pair: pair[1].estimate,
        default=None,
    )


def source_share(run: Run, signature: str) -> float | None:
    """Share of the positive class among the source images of a configuration; None where its predictions were not kept."""
    rows = run.predictions(signature)
    if not len(rows) or "label" not in rows:
        return None
    labels = rows.loc[rows["split"].isin(["source_val", "source"])].drop_duplicates("image_id")["label"]
    return float((labels == 1).mean()) if len(labels) else None


def recalibrated(outcomes: Outcomes, share: float | None, estimates: Estimates) -> Threshold | None:
    """Each seed's threshold moved so that `share` of its images are called positive: prevalence matching, which needs no target label.

    The balanced accuracy that it would give is measured with the labels. None where `share` is 0 or 1 or unknown.
    """
    if share is None or not 0 < share < 1:
        return None
    margins = outcomes.values[:, :, 1] - outcomes.values[:, :, 0]
    cuts = np.array([np.quantile(row[seen], 1 - share) for row, seen in zip(margins, outcomes.seen, strict=True)])
    moved = margins - cuts[:, None]
    shifted = replace(outcomes, values=np.stack([np.zeros_like(moved), moved], axis=2))
    sample = resample(shifted, balanced_accuracy, draws=estimates.draws, seed=estimates.seed)
    made = interval(sample, limits=(0.0, 1.0), seed=estimates.seed)
    return Threshold(float(special.expit(cuts).mean()), share, made)


def _beating(run: Run, rows: Sequence[Ranked], estimates: Estimates) -> tuple[str, ...]:
    """Labels of the ranked configurations whose balanced accuracy on the target lies above chance with its whole interval."""
    chance = _chance(run)
    return tuple(
        row.label
        for row in rows
        if (row.numbers.get("balanced_accuracy/target") or _balanced(row, estimates)).low > chance
    )


def _balanced(row: Ranked, estimates: Estimates) -> Interval:
    return estimates.of(row.signature, "balanced_accuracy/target")


def _margin(samples: Sequence[Resampled]) -> float | None:
    """What all differences lie within; None where resampling shows no noise, as between two perfect scores."""
    return equivalence_margin(samples) if any(np.ptp(sample.draws) > 0 for sample in samples) else None


def _dominating(run: Run, rows: Sequence[Ranked], first: Ranked) -> str:
    """Label of the best-placed configuration that dominates the first."""
    metrics = objectives(run)
    if first.front == 1 or not metrics:
        return ""
    values = goodness(run, metrics)
    own = values[run.means.index.get_loc(first.signature)]
    for row in sorted(rows, key=lambda one: one.front):
        other = values[run.means.index.get_loc(row.signature)]
        if dominated_by_any(np.stack([own, other]))[0] and (other >= own).all():
            return row.label
    return ""


def _rivals(
    rows: Sequence[Ranked], first: Ranked, estimates: Estimates, metric: str
) -> list[tuple[Compared, dict[str, str]]]:
    rivals = [row for row in rows if row is not first][:RIVALS]
    pairs = [
        (first.signature, row.signature, estimates.paired(first.signature, row.signature, metric)) for row in rivals
    ]
    names = {row.signature: row.label for row in rivals}
    defined = [(a, b, sample) for a, b, sample in pairs if sample is not None and np.isfinite(sample.point).all()]
    return [(one, names) for one in compare_family(defined)]


def _sample(rows: Sequence[Ranked], first: Ranked, estimates: Estimates, metric: str) -> Resampled | None:
    found = (estimates.paired(first.signature, row.signature, metric) for row in rows if row is not first)
    return next((sample for sample in found if sample is not None and np.isfinite(sample.point).all()), None)


def _ratios(curves: tuple[RatioCurve, ...]) -> list[tuple[Compared, str, float]]:
    return [(point.against, curve.cell, point.ratio) for curve in curves for point in curve.points if point.against]


def _difference(one: Compared, names: dict[str, str], metric: str, run: Run) -> Difference:
    made = one.interval
    if metric_names.sign(metric, run.goals) < 0:  # more is better in every sentence
        made = replace(made, estimate=-made.estimate, low=-made.high, high=-made.low)
    return Difference(
        names.get(one.b, one.b), made, one.p_adjusted, len(one.seeds), one.distinguishable, one.seed_noise_known
    )


def _robust(run: Run, first: Ranked, estimates: Estimates) -> tuple[str, Interval] | None:
    wanted = [name for name in objectives(run) if metric_names.parse(name).family == metric_names.ROBUST]
    return (metric_names.title(wanted[0]), estimates.of(first.signature, wanted[0])) if wanted else None


def _tiles(run: Run, signature: str, estimates: Estimates, chosen: Recipe) -> tuple[Tile, ...]:
    recalls = () if run.tasks else ("sensitivity/target", "specificity/target")
    names = dict.fromkeys((METRIC, *recalls, "balanced_accuracy/target", *objectives(run), "accuracy/target"))
    known = [name for name in names if name in run.metrics and name not in run.undefined]
    tiles = [_tile(run, signature, estimates, name) for name in known]
    if chosen.recalls:
        name, made = lowest_recall(chosen)
        tiles.insert(
            1, _made_tile(f"Recall of {name} (target)", METRIC, made, f"lowest of {len(chosen.recalls)} classes")
        )
    if chosen.weakest is not None:
        name, made = chosen.weakest
        beside = f"lowest of {len(run.findings)} findings"
        tiles.insert(1, _made_tile(metric_names.title(f"{METRIC}/{name}"), METRIC, made, beside))
    return tuple(tiles[:MOST_TILES])


def _tile(run: Run, signature: str, estimates: Estimates, name: str) -> Tile:
    constant = constants(run, [name]).get(name)
    family = metric_names.parse(name).family
    beside = f"constant predictor {constant:.3f}" if constant is not None else ""
    if family in ("sensitivity", "specificity"):
        asked = f"for {run.classes[family == 'sensitivity']}, " if len(run.classes) == 2 else ""
        beside = f"{asked}at probability 0.5"
    return _made_tile(metric_names.title(name), name, estimates.of(signature, name), beside)


def _made_tile(title: str, name: str, made: Interval, beside: str) -> Tile:
    """A tile of a number in the unit of the metric `name`."""
    value, low, high = (metric_names.value_text(name, one) for one in (made.estimate, made.low, made.high))
    between = "not known" if made.low != made.low else f"{low} to {high}"
    return Tile(title, value, between if made.images else f"{between} (seeds alone)", beside)
