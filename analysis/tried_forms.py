"""Other ways to use a recipe's trained models, judged without target labels: ensemble and weight soup of its seeds, adaptations tried on each.

`data.try_adaptations` keeps a model's logits on the target and on the first pseudo-hospitals under each adaptation. A form is predicted there
beside the recipe as configured, on the same pseudo-hospitals, so that their difference is not one of the hospitals. `sweep.soups` keeps the
same of the model with the mean weights of a recipe's seeds.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.frames import Run
from analysis.record_evidence import evidence_of_rows
from analysis.seed_ensembles import ensemble_of
from analysis.verdict_unlabelled import SOUP, Form
from sweep.shift.pooled_performance import ModelEvidence, ModelPrediction, mean_of, predict_pooled
from sweep.shift.predicted_performance import Prediction
from sweep.shift.stored import (
    PREDICTIONS_FILE,
    StoredHospital,
    read_adapted_targets,
    read_hospitals,
    soup_folder,
    soup_seeds,
)

AS_CONFIGURED = ""
Tried = dict[str, tuple[ModelEvidence, ...]]  # adaptation -> each seed's evidence; AS_CONFIGURED on the same hospitals


def tried_adaptations(run: Run, signature: str, models: Mapping[int, ModelEvidence]) -> Tried:
    """Evidence of a recipe's seeds (by seed) under each adaptation that all of them were tried with; empty where none was."""
    if not run.data_card.get("data", {}).get("try_adaptations"):
        return {}
    found: list[dict[str, ModelEvidence]] = []
    for seed, model in models.items():
        folder = f"trials/{signature}/seed-{seed}"
        targets = read_adapted_targets(run.storage, folder)
        made = {
            name: _adapted(model, read_hospitals(run.storage, folder, name), logits) for name, logits in targets.items()
        }
        found.append(made | ({AS_CONFIGURED: _first(model, len(next(iter(made.values())).hospitals))} if made else {}))
    names = [name for name in found[0] if all(name in of_seed for of_seed in found)] if found else []
    return {name: tuple(of_seed[name] for of_seed in found) for name in names} if len(names) > 1 else {}


def soup_evidence(run: Run, signature: str, models: Mapping[int, ModelEvidence]) -> Tried:
    """Evidence of the mean weights of a recipe's seeds, beside these seeds; empty where it was not evaluated, or of other seeds."""
    if len(models) < 2 or soup_seeds(run.storage, signature) != tuple(sorted(models)):
        return {}
    folder = soup_folder(signature)
    hospitals = read_hospitals(run.storage, folder)
    rows = pd.read_parquet(io.BytesIO(run.storage.read(f"{folder}/{PREDICTIONS_FILE}")))
    together = evidence_of_rows(rows, hospitals)
    return {SOUP: (together,), AS_CONFIGURED: tuple(models.values())}


def _adapted(model: ModelEvidence, hospitals: Sequence[StoredHospital], target: np.ndarray) -> ModelEvidence:
    return replace(
        model,
        target_logits=target,
        hospitals=hospitals,
        distances=np.array([one.target_distance for one in hospitals]),
    )


def _first(model: ModelEvidence, count: int) -> ModelEvidence:
    return replace(model, hospitals=model.hospitals[:count], distances=model.distances[:count])


def predicted_forms(tried: Mapping[str, Tried]) -> dict[str, tuple[Form, ...]]:
    """recipe -> its forms by name, all recipes predicted together; empty where nothing was tried."""
    keys = [(recipe, name) for recipe, ways in tried.items() for name in ways]
    models = [one for recipe, name in keys for one in tried[recipe][name]]
    if not models:
        return {}
    rows = iter(predict_pooled(models).models)
    made = {key: [next(rows) for _ in tried[key[0]][key[1]]] for key in keys}
    return {
        recipe: tuple(
            Form(name, auroc, beside, mean_of(made[recipe, name], "balanced_accuracy"))
            for name in ways
            if name != AS_CONFIGURED
            and (auroc := _auroc(made[recipe, name])) is not None
            and (beside := _auroc(made[recipe, AS_CONFIGURED])) is not None
        )
        for recipe, ways in tried.items()
    }


def predicted_ensembles(recipes: Mapping[str, Sequence[ModelEvidence]]) -> dict[str, ModelPrediction]:
    """Predictions for each recipe's seeds as one model, pooled among themselves; of recipes with several seeds."""
    made = {key: one for key, models in recipes.items() if (one := ensemble_of(models)) is not None}
    return dict(zip(made, predict_pooled(list(made.values())).models, strict=True)) if made else {}


def _auroc(found: Sequence[ModelPrediction]) -> Prediction | None:
    """Mean over the seeds; None where every one is refused."""
    return None if all(one.refused for one in found) else mean_of(found, "auroc")
