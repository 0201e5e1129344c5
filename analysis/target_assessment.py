"""Models' logits on source validation, pseudo-hospitals and the unlabelled target -> what each recipe is expected to do there, and the shift.

Of a run these are read by `analysis.predicted`; the blind benchmark makes them itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.tried_forms import Tried, predicted_ensembles, predicted_forms
from analysis.verdict_unlabelled import CHANCE, SOUP, AtThreshold, Candidate, Contradiction
from sweep.shift.calibration import platt, sigmoid
from sweep.shift.class_mix import ClassMix, best_told, class_mix, labelled_sets, share_of
from sweep.shift.pooled_performance import (
    ModelEvidence,
    ModelPrediction,
    PooledPrediction,
    mean_of,
    predict_pooled,
    true_metrics,
)
from sweep.shift.predicted_performance import Prediction, margin
from sweep.shift.shift_kind import Shift, Tables, shift_of

_USUAL = 0.95  # share of the pseudo-hospitals whose disagreement counts as usual: it is looked at twice, so one in ten targets is doubted wrongly
_UNFOUNDED = {
    "auroc": CHANCE,
    "balanced_accuracy": CHANCE,
}  # of a model whose rule may not hold at the target; 0 of the others
RECALIBRATED, CORRECTED = "threshold by share of calls", "prevalence correction"
_LEAST_SHARE, _LARGEST_SHARE = 0.05, 0.95  # of target images that a moved threshold calls positive


@dataclass(frozen=True)
class FormRow:
    """One way to use a recipe's trained models at the target: predicted AUROC, and balanced accuracy at a threshold.

    `probability` is the one from which class 1 is called.
    """

    label: str
    form: str
    auroc: Prediction
    balanced: Prediction
    probability: float

    @property
    def order(self) -> tuple[float, float, float, float]:
        """By the lower ends of both, and by the values where those are equal."""
        return self.auroc.low, self.balanced.low, self.auroc.value, self.balanced.value


@dataclass(frozen=True)
class Assessment:
    """Candidates by recipe, the predictions behind them at each recipe's own and moved threshold, the class mix and the shift."""

    candidates: dict[str, Candidate]
    own: PooledPrediction
    moved: PooledPrediction
    places: dict[str, tuple[int, ...]]  # of each recipe's seeds among the models
    prevalence: Prediction  # estimated share of the positive class at the target
    shift: Shift | None
    ensembles: dict[str, ModelPrediction]  # of recipes with several seeds: their mean probability
    contradiction: Contradiction | None

    def forms(self) -> list[FormRow]:
        """Every recipe as configured, with its threshold moved, as an ensemble or soup of its seeds and under the adaptations that were tried.

        A form that cannot be predicted is left out.
        """
        rows = []
        for key, one in self.candidates.items():
            thresholds = (("as configured", one.own), (RECALIBRATED, one.moved), (CORRECTED, one.corrected))
            if one.refused is None:
                rows += [
                    FormRow(one.label, name, one.auroc, at.balanced, at.probability) for name, at in thresholds if at
                ]
            half = one.own.probability
            if one.ensemble:
                balanced = self.ensembles[key].metrics["balanced_accuracy"]
                rows.append(FormRow(one.label, f"ensemble of {one.seeds} seeds", one.ensemble, balanced, half))
            rows += [
                FormRow(
                    one.label,
                    f"{SOUP} of {one.seeds} seeds" if form.name == SOUP else f"adapt {form.name}",
                    form.auroc,
                    form.balanced,
                    half,
                )
                for form in one.tried
            ]
        if self.contradiction is not None and self.contradiction.unusual:
            rows = [
                replace(row, auroc=_widened("auroc", row.auroc), balanced=_widened("balanced_accuracy", row.balanced))
                for row in rows
            ]
        return sorted(rows, key=lambda row: row.order, reverse=True)


def assess(
    recipes: Mapping[str, Sequence[ModelEvidence]],
    labels: Mapping[str, str],
    tables: Tables | None = None,
    tried: Sequence[Mapping[str, Tried]] = (),
) -> Assessment:
    """Predict for all seeds of all recipes together; `labels` name the recipes in words, `tables` hold image properties.

    `tried` are recipes in other forms, each mapping with pseudo-hospitals of its own: adaptations tried on their trained models, weight soups.

    Raises ValueError as `predict_pooled` does.
    """
    models = [one for seeds in recipes.values() for one in seeds]
    starts = np.cumsum([0, *(len(seeds) for seeds in recipes.values())])
    places = {key: tuple(range(starts[n], starts[n + 1])) for n, key in enumerate(recipes)}
    own = predict_pooled(models)
    home = float(np.mean(models[0].at_home[1] == 1))
    shift = shift_of(tables, home, own.prevalence, own.mix, _if_alike(models, home)) if tables is not None else None
    prevalence = own.prevalence
    if shift is not None:
        prevalence = Prediction(shift.prevalence, shift.prevalence_low, shift.prevalence_high)
    called = float(np.clip(prevalence.value, _LEAST_SHARE, _LARGEST_SHARE))
    moved = predict_pooled([replace(one, called=called) for one in models])
    corrected = predict_pooled([replace(one, threshold=prevalence_threshold(one, prevalence.value)) for one in models])
    contradiction = _contradiction(models, called)
    if contradiction is not None and contradiction.unusual:
        own, moved, corrected = _doubted(own), _doubted(moved), _doubted(corrected)
    ensembles = predicted_ensembles(recipes)
    forms = [predicted_forms(one) for one in tried]
    candidates = {
        key: replace(
            _candidate(
                labels[key],
                [models[place] for place in of_recipe],
                of_recipe,
                (own, moved, corrected),
                prevalence.value,
            ),
            seeds=len(of_recipe),
            ensemble=ensembles[key].metrics["auroc"] if key in ensembles and not ensembles[key].refused else None,
            tried=tuple(form for one in forms for form in one.get(key, ())),
        )
        for key, of_recipe in places.items()
    }
    return Assessment(candidates, own, moved, places, prevalence, shift, ensembles, contradiction)


def _doubted(found: PooledPrediction) -> PooledPrediction:
    """The predictions with intervals that reach down to `_UNFOUNDED`, where models contradict each other more than on pseudo-hospitals."""
    rows = tuple(
        replace(one, metrics={name: _widened(name, made) for name, made in one.metrics.items()}) for one in found.models
    )
    return replace(found, models=rows)


def _widened(metric: str, made: Prediction) -> Prediction:
    return replace(made, low=min(made.low, _UNFOUNDED.get(metric, 0.0)))


def _contradiction(models: Sequence[ModelEvidence], called: float) -> Contradiction | None:
    """How often two models answer differently, at the target and on pseudo-hospitals; None of one model.

    At the models' own thresholds, and at thresholds that call the share of positives: `called` at the target, the known one on a hospital.
    Own thresholds that lie far off hide that models order the images differently, since all of them then call nearly every image one class.
    """
    if len(models) < 2:
        return None
    shares = [called, *(float(np.mean(hospital.labels == 1)) for hospital in models[0].hospitals)]
    own = _compared(models, [None] * len(shares))
    moved = replace(_compared(models, shares), moved=True)
    return moved if moved.unusual and not own.unusual else own


def _compared(models: Sequence[ModelEvidence], shares: Sequence[float | None]) -> Contradiction:
    """At the target, whose share of positive calls is the first of `shares`, and on every hospital; None for the models' own thresholds."""
    places = [[one.target_logits for one in models]]
    places += [[one.logits for one in shown] for shown in zip(*(one.hospitals for one in models), strict=True)]
    at_target, *on_hospitals = (
        _disagreement([_calls(margin(z), one, share) for z, one in zip(logits, models, strict=True)])
        for logits, share in zip(places, shares, strict=True)
    )
    return Contradiction(at_target, float(np.quantile(on_hospitals, _USUAL)))


def _calls(z: np.ndarray, one: ModelEvidence, share: float | None) -> np.ndarray:
    called: np.ndarray = z > (one.threshold if share is None else np.quantile(z, 1 - share))
    return called


def _disagreement(calls: Sequence[np.ndarray]) -> float:
    """Share of images on which two models answer differently, mean over all pairs of models."""
    positive = np.mean(calls, axis=0)
    count = len(calls)
    return float(np.mean(2 * positive * (1 - positive)) * count / (count - 1))


def _if_alike(models: Sequence[ModelEvidence], home: float) -> ClassMix | None:
    """The target's class mix if images of a class look alike at both hospitals: held-out source images are then one labelled set like it.

    None where the models were not shown the same images.
    """
    at_home = [one.at_home for one in models]
    labels = at_home[0][1]
    if any(not np.array_equal(labels, other) for _, other in at_home):
        return None
    chosen = best_told(np.array([true_metrics(z, labels, 0.0)["auroc"] for z, _ in at_home]))
    held_out = labelled_sets([[at_home[m][0]] for m in chosen], [labels])
    target = np.stack([margin(models[m].target_logits) for m in chosen])
    return class_mix(*share_of(held_out, target, np.ones(1), home), home)


def prevalence_threshold(one: ModelEvidence, share: float) -> float:
    """The margin from which class 1 is likelier, once probabilities calibrated on source validation are corrected to the target's share.

    Bayes' rule (Saerens et al. 2002). The model's own threshold where its margins rise with the class the wrong way.
    """
    positive = one.source_labels == 1
    slope, offset = platt(margin(one.source_logits), positive, np.ones(len(positive)))
    if slope <= 0:
        return one.threshold
    there, here = (float(np.clip(part, _LEAST_SHARE, _LARGEST_SHARE)) for part in (share, np.mean(positive)))
    return -(offset + float(np.log(there / (1 - there)) - np.log(here / (1 - here)))) / slope


def _candidate(
    label: str,
    models: Sequence[ModelEvidence],
    places: Sequence[int],
    predictions: tuple[PooledPrediction, PooledPrediction, PooledPrediction],
    share: float,
) -> Candidate:
    """A recipe from its seeds' predictions at their own threshold, at the one that calls the target's `share`, and with corrected probabilities."""
    own, moved, corrected = ([made.models[place] for place in places] for made in predictions)
    margins = [margin(one.target_logits) for one in models]
    called = float(np.clip(share, _LEAST_SHARE, _LARGEST_SHARE))
    refused = [one.refused for one in own if one.refused is not None]
    return Candidate(
        label,
        mean_of(own, "auroc"),
        _at(own, margins, [one.threshold for one in models]),
        _at(moved, margins, [float(np.quantile(z, 1 - called)) for z in margins]),
        refused[0] if len(refused) == len(own) else None,
        corrected=_at(corrected, margins, [prevalence_threshold(one, share) for one in models]),
    )


def _at(found: Sequence[ModelPrediction], margins: Sequence[np.ndarray], cuts: Sequence[float]) -> AtThreshold:
    """Means over the seeds, whose margins on the target are called positive above `cuts`."""
    called = [float(np.mean(z > cut)) for z, cut in zip(margins, cuts, strict=True)]
    return AtThreshold(
        float(np.mean(sigmoid(np.array(cuts)))),
        float(np.mean(called)),
        *(mean_of(found, name) for name in ("balanced_accuracy", "sensitivity", "specificity")),
    )
