"""Estimates of a run and the target's labels -> how far each estimator was off, what intervals covered, what each rule's choice cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import spearmanr

from analysis import metric_names
from analysis.figures.figure import number
from analysis.frames import Run
from analysis.json_records import as_text, from_text
from analysis.predicted import PredictedTarget
from analysis.seed_ensembles import ensemble_of
from analysis.selection import RULES, best_first
from analysis.verdict_unlabelled import SOUP
from sweep.core.errors import InputError
from sweep.core.metric_table import TARGET
from sweep.shift.estimators import ESTIMATORS, agreement_on_the_line
from sweep.shift.evidence import Evidence
from sweep.shift.pooled_performance import ModelEvidence, mean_of, true_metrics
from sweep.shift.predicted_performance import margin
from sweep.shift.pseudo_hospitals import RESTYLED

METRICS = ("auroc", "balanced_accuracy", "accuracy", "sensitivity", "specificity")
POOLED, PLAIN, HOME, LINE = (
    "pooled pseudo-hospitals",
    "mean restyled",
    "as on source validation",
    "agreement on the line",
)
BLIND_RULES = ("blind", "blind_gap", "source_val")
UNSEALED_FILE = "unsealed.json"  # of the run folder: scores of the estimates, no label of an image


@dataclass(frozen=True)
class UnsealedRecipe:
    """One configuration: estimated (value, low, high) and true metrics, means over its seeds."""

    signature: str
    label: str
    seeds: int
    estimated: dict[str, dict[str, float]]
    true: dict[str, float]
    ensemble: dict[str, float] | None = None  # of its seeds as one model: AUROC predicted (value, low, high) and true
    tried: dict[str, dict[str, float]] = field(
        default_factory=dict
    )  # the same by adaptation tried on it; `beside`: low as configured


@dataclass(frozen=True)
class Unsealed:
    """Everything that the labels tell of the estimates. `estimators` [name][metric] hold error and rank correlation over the records."""

    images: int
    records: int
    recipes: tuple[UnsealedRecipe, ...]
    estimators: dict[str, dict[str, dict[str, float]]]
    coverage: dict[str, float]
    regret: dict[str, float]
    chosen: dict[str, str]
    prevalence: tuple[float, float]


def unsealed(run: Run, made: PredictedTarget, labels: Mapping[str, int]) -> Unsealed:
    """Score the estimates by `labels` (image_id -> class); images without one are left out. InputError where a class is missing."""
    rows = run.predictions(next(iter(made.evidence)))
    ids = rows[(rows["split"] == TARGET) & (rows["seed"] == rows["seed"].iloc[0])]["image_id"].astype(str)
    truth = np.array([labels.get(name, -1) for name in ids])
    seen = truth >= 0
    if len(set(truth[seen].tolist())) != 2:
        raise InputError(run.storage.url, "the target's labels are all of one class", "nothing can be scored by them")
    true = {
        key: [true_metrics(margin(one.target_logits)[seen], truth[seen], one.threshold) for one in models]
        for key, models in made.evidence.items()
    }
    recipes = tuple(
        replace(_recipe(key, made, true[key]), ensemble=_ensemble(key, made, truth), tried=_tried(key, made, truth))
        for key in made.evidence
    )
    records = [row for rows in true.values() for row in rows]
    scored = {
        name: {
            metric: _scored(values, np.array([row[metric] for row in records]))
            for metric, values in estimates.items()
            if np.isfinite(values).any()
        }
        for name, estimates in _estimates(made).items()
    }
    regret, chosen = _regrets(run, recipes)
    estimated = made.assessment.prevalence.value
    return Unsealed(
        int(seen.sum()),
        len(records),
        recipes,
        scored,
        {metric: _coverage(recipes, metric) for metric in METRICS},
        regret,
        chosen,
        (estimated, float(np.mean(truth[seen] == 1))),
    )


def as_json(found: Unsealed) -> str:
    """All rows and summaries, for programs; a number that is not defined is null."""
    return as_text(found, indent=2)


def sentences(found: Unsealed) -> list[str]:
    """What the labels say of intervals, of what each rule chose, and of the class mix."""
    covered = ", ".join(f"{metric_names.title(metric)} {100 * share:.0f} %" for metric, share in found.coverage.items())
    said = [f"90 % intervals that hold the true value: {covered}."]
    said += [
        f"Regret of {rule}: {number(regret)} AUROC ({found.chosen[rule]} chosen)."
        for rule, regret in found.regret.items()
    ]
    said += [*_of_ensembles(found.recipes), *_of_forms(found.recipes)]
    estimated, true = found.prevalence
    return [*said, f"Positive share of the target: {number(estimated)} estimated, {number(true)} true."]


def _of_ensembles(recipes: Sequence[UnsealedRecipe]) -> list[str]:
    """Whether ensembles of seeds did better where that was predicted."""
    pairs = [(one.ensemble, one) for one in recipes if one.ensemble is not None]
    if not pairs:
        return []
    error = float(np.mean([abs(made["value"] - made["true"]) for made, _ in pairs]))
    better = [made["true"] > one.true["auroc"] for made, one in pairs]
    foreseen = [made["low"] > one.estimated["auroc"]["low"] for made, one in pairs]
    right = sum(a == b for a, b in zip(better, foreseen, strict=True))
    return [
        f"Seeds as an ensemble: predicted AUROC off by {number(error)} on average; better than one seed in {sum(better)} of {len(pairs)} "
        f"recipes, which was foreseen rightly in {right}."
    ]


def _of_forms(recipes: Sequence[UnsealedRecipe]) -> list[str]:
    """Whether adaptations tried on the trained models, and soups of their weights, did better where that was predicted."""
    kinds = {"Adaptations tried on trained models": False, "Mean weights of the seeds": True}
    return [
        line
        for words, soups in kinds.items()
        for line in _of_kind(
            words, [(made, one) for one in recipes for name, made in one.tried.items() if (name == SOUP) == soups]
        )
    ]


def _of_kind(words: str, pairs: Sequence[tuple[Mapping[str, float], UnsealedRecipe]]) -> list[str]:
    if not pairs:
        return []
    error = float(np.mean([abs(made["value"] - made["true"]) for made, _ in pairs]))
    better = [made["true"] > one.true["auroc"] for made, one in pairs]
    right = sum(a == (made["low"] > made["beside"]) for a, (made, _) in zip(better, pairs, strict=True))
    return [
        f"{words}: predicted AUROC off by {number(error)} on average; better than as configured in {sum(better)} of "
        f"{len(pairs)} cases, which was foreseen rightly in {right}."
    ]


def keep(run: Run, found: Unsealed) -> None:
    """Write the scores into the run folder, where the report finds them."""
    run.storage.write(UNSEALED_FILE, as_json(found).encode())


def kept(run: Run) -> Unsealed | None:
    """The scores that `keep` wrote; None where the run was not unsealed. InputError for a file that is not whole."""
    if not run.storage.exists(UNSEALED_FILE):
        return None
    try:
        found: Unsealed = from_text(Unsealed, run.storage.read(UNSEALED_FILE))
        return found
    except (ValueError, TypeError, KeyError, AttributeError) as broken:
        fix = f"remove it, or write it anew: recipe-finder unseal {run.storage.url} --report"
        raise InputError(f"{run.storage.url}/{UNSEALED_FILE}", f"cannot be read ({broken})", fix) from None


def _recipe(key: str, made: PredictedTarget, true: Sequence[Mapping[str, float]]) -> UnsealedRecipe:
    found = [made.assessment.own.models[place] for place in made.assessment.places[key]]
    estimated = {}
    for metric in METRICS:
        one = mean_of(found, metric)
        estimated[metric] = {"value": one.value, "low": one.low, "high": one.high}
    means = {metric: float(np.mean([row[metric] for row in true])) for metric in METRICS}
    return UnsealedRecipe(key, made.assessment.candidates[key].label, len(true), estimated, means)


def _ensemble(key: str, made: PredictedTarget, truth: np.ndarray) -> dict[str, float] | None:
    """Predicted and true AUROC of a recipe's seeds as one model, on the images with a label."""
    predicted, model = made.assessment.ensembles.get(key), ensemble_of(made.evidence[key])
    if predicted is None or model is None:
        return None
    one, seen = predicted.metrics["auroc"], truth >= 0
    true = true_metrics(margin(model.target_logits)[seen], truth[seen], model.threshold)["auroc"]
    return {"value": one.value, "low": one.low, "high": one.high, "true": true}


def _tried(key: str, made: PredictedTarget, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Predicted and true AUROC of a recipe under each adaptation tried on it, means over its seeds, on the images with a label."""
    seen, found = truth >= 0, {}
    for form in made.assessment.candidates[key].tried:
        models = made.models_of(key, form.name)
        true = [true_metrics(margin(one.target_logits)[seen], truth[seen], one.threshold)["auroc"] for one in models]
        one = form.auroc
        found[form.name] = {
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "beside": form.beside.low,
            "true": float(np.mean(true)),
        }
    return found


def _estimates(made: PredictedTarget) -> dict[str, dict[str, np.ndarray]]:
    """estimator -> metric -> estimate of every record, in the order of the evidence."""
    models = [one for of_recipe in made.evidence.values() for one in of_recipe]
    found = {
        POOLED: {
            metric: np.array([one.metrics[metric].value for one in made.assessment.own.models]) for metric in METRICS
        }
    }
    found[PLAIN] = _mean_over(models, lambda one: [(h.logits, h.labels) for h in one.hospitals if h.family == RESTYLED])
    found[HOME] = _mean_over(models, lambda one: [(one.source_logits, one.source_labels)])
    evidence = [one for of_recipe in made.evidence.values() for one in _with_seeds(of_recipe)]
    for name, estimator in ESTIMATORS.items():
        if estimator.needs_seeds and any(one.target_seeds is None for one in evidence):
            continue
        rows = [estimator(one) for one in evidence]
        found[name] = {metric: np.array([row.get(metric, np.nan) for row in rows]) for metric in METRICS}
    found[LINE] = {"accuracy": np.array(agreement_on_the_line.estimate_all(evidence))}
    return found


def _with_seeds(models: Sequence[ModelEvidence]) -> list[Evidence]:
    several = len(models) > 1
    source = np.stack([one.source_logits for one in models]) if several else None
    target = np.stack([one.target_logits for one in models]) if several else None
    return [Evidence(one.source_logits, one.source_labels, one.target_logits, source, target) for one in models]


def _mean_over(models: Sequence[ModelEvidence], sets: object) -> dict[str, np.ndarray]:
    rows = [[true_metrics(margin(z), y, one.threshold) for z, y in sets(one)] for one in models]  # type: ignore[operator]
    return {
        metric: np.array([np.mean([row[metric] for row in part]) if part else np.nan for part in rows])
        for metric in METRICS
    }


def _scored(estimated: np.ndarray, true: np.ndarray) -> dict[str, float]:
    known = np.isfinite(estimated)
    ranked = known.sum() > 2 and np.ptp(estimated[known]) > 0 and np.ptp(true[known]) > 0
    return {
        "error": float(np.abs(estimated - true)[known].mean()),
        "bias": float((estimated - true)[known].mean()),
        "rank_correlation": float(spearmanr(estimated[known], true[known])[0]) if ranked else float("nan"),
    }


def _coverage(recipes: Sequence[UnsealedRecipe], metric: str) -> float:
    inside = [row.estimated[metric]["low"] <= row.true[metric] <= row.estimated[metric]["high"] for row in recipes]
    return float(np.mean(inside))


def _regrets(run: Run, recipes: Sequence[UnsealedRecipe]) -> tuple[dict[str, float], dict[str, str]]:
    """Best true AUROC less that of each rule's choice, among the recipes that were estimated."""
    by_key = {row.signature: row for row in recipes}
    best = max(row.true["auroc"] for row in recipes)
    regret, chosen = {}, {}
    for rule in BLIND_RULES:
        try:
            score = RULES[rule].score(run.means.loc[list(by_key)]).dropna()
        except InputError:
            continue  # a rule whose metric this run did not record has no choice to score
        if len(score):
            row = by_key[best_first(score)[0]]
            regret[rule], chosen[rule] = best - row.true["auroc"], row.label
    return regret, chosen
