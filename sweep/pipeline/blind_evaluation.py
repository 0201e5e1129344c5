"""A trained model on pseudo-hospitals and on the target under several adaptations: what predictions without target labels are made from.

Pseudo-hospitals are made once per worker and data; every model then predicts all their images in one pass for each adaptation.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sweep.core.metric_table import SOURCE_TEST, SOURCE_VAL, TARGET
from sweep.core.seeds import rng
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import auroc
from sweep.models.classifier import Classifier
from sweep.pipeline.adaptation import adapted_to, alternatives_of
from sweep.pipeline.sample_images import rows
from sweep.pipeline.training_job import TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shift.blind_metrics import blind_metrics
from sweep.shift.properties import energy_distance, properties, standardised
from sweep.shift.pseudo_hospitals import PseudoHospital, pseudo_hospitals
from sweep.shift.stored import (
    ADAPTED_TARGET_FILE,
    AS_CONFIGURED,
    PSEUDO_HOSPITALS_FILE,
    StoredHospital,
    adapted_target_frame,
    hospitals_frame,
)

MOST_SOURCE_IMAGES = 64  # of source validation that a pseudo-hospital shows; a stratified draw beyond
MOST_TARGET_IMAGES = 256  # of the target that source images are restyled towards
TRIED_HOSPITALS = 8  # that adaptations beside the configured one are tried on: one round of all families
NEAREST, FARTHEST, ORIGINAL = "nearest_hospital", "farthest_hospital", "_source"  # kinds of gallery rows
SHOWN_PER_CLASS = 2
_MEASURED = 24  # images of each hospital whose properties give its distances
_KEPT_SETS = 2  # of pseudo-hospitals in a worker's memory: one for each direction
_BATCH = 128  # on a CPU a third faster than 256, whose activations leave the cache; the logits are the same


@dataclass(frozen=True)
class HospitalSet:
    """The pseudo-hospitals of one source-validation set and target, with the ids of their images and their distances."""

    hospitals: tuple[PseudoHospital, ...]
    image_ids: tuple[tuple[str, ...], ...]
    target_distances: np.ndarray
    source_distances: np.ndarray
    seconds: float  # to make them

    def stored(self, logits: Sequence[np.ndarray], adaptation: str) -> list[StoredHospital]:
        """One model's results on the first hospitals, from its logits on each."""
        rows = zip(self.hospitals, self.image_ids, self.target_distances, self.source_distances, strict=True)
        return [
            StoredHospital(one.family, z, one.labels, one.name, one.recipe, ids, float(near), float(far), adaptation)
            for z, (one, ids, near, far) in zip(logits, rows, strict=False)
        ]


@dataclass(frozen=True)
class BlindResult:
    """What one model shows without target labels: its results on the hospitals, logits on the target by adaptation, metrics.

    `samples` are gallery rows of the hospitals nearest to the target and farthest from it.
    """

    hospitals: list[StoredHospital] = field(default_factory=list)
    samples: list[pd.DataFrame] = field(default_factory=list)
    adapted_target: Mapping[str, np.ndarray] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def write(self, job: TrainingJob) -> None:
        """Both files of the record, where there are pseudo-hospitals."""
        if self.hospitals:
            job.write_frame(PSEUDO_HOSPITALS_FILE, hospitals_frame(self.hospitals))
        if self.adapted_target:
            frame = adapted_target_frame(self.adapted_target, list(job.folds["target"].ids))
            job.write_frame(ADAPTED_TARGET_FILE, frame)


def evaluate_blind(
    job: TrainingJob, model: Classifier, logits: Mapping[str, np.ndarray], *, alternatives: bool = True
) -> BlindResult:
    """Predict every pseudo-hospital with the model as configured, and the first ones and the target with each other adaptation.

    `job` is prepared, `model` as trained, `logits` those of its splits as configured. Nothing is done where the run has no
    pseudo-hospitals or the data have several findings an image.
    """
    if not job.data.pseudo_hospitals or job.data.multi_label:
        return BlindResult()
    made = hospital_set(job)
    begin = time.perf_counter()
    way = job.trial.config["adapt"]
    found = made.stored(hospital_logits(job, model, made.hospitals, way), AS_CONFIGURED)
    adapted: dict[str, np.ndarray] = {}
    tried: list[StoredHospital] = []
    for other in alternatives_of(job, model) if alternatives else ():
        few = made.hospitals[:TRIED_HOSPITALS]
        tried += made.stored(hospital_logits(job, model, few, other), other)
        adapted[other] = _adapted_logits(job, model, job.folds["target"].images, other)
    metrics = _metrics(job, logits, found)
    facts = {
        "pseudo_hospitals": {
            "count": len(found),
            "seconds": round(time.perf_counter() - begin, 4),
            "made_in_s": round(made.seconds, 4),
        }
    }
    return BlindResult([*found, *tried], samples(job, made), adapted, metrics, facts)


def samples(job: TrainingJob, made: HospitalSet) -> list[pd.DataFrame]:
    """Gallery rows of a few images as the nearest and the farthest hospital show them, and as source validation does."""
    val, frames = job.folds["val"], []
    place = {name: number for number, name in enumerate(val.ids)}
    for kind, which in ((NEAREST, made.target_distances.argmin()), (FARTHEST, made.target_distances.argmax())):
        hospital, ids = made.hospitals[which], made.image_ids[which]
        shown = np.concatenate(
            [np.flatnonzero(hospital.labels == label)[:SHOWN_PER_CLASS] for label in np.unique(hospital.labels)]
        )
        positions = np.array([place[ids[row]] for row in shown])
        recipe, apart = ", ".join(hospital.recipe).replace("_", " "), float(made.target_distances[which])
        caption = f"{recipe}; distance {apart:.{2 if apart < 10 else 0}f}"
        frames += [
            rows(kind, val, positions, list(hospital.images[shown]), SOURCE_VAL, caption),
            rows(f"{kind}{ORIGINAL}", val, positions, list(val.images[positions]), SOURCE_VAL, "source"),
        ]
    return frames


def hospital_logits(
    job: TrainingJob, model: Classifier, hospitals: Sequence[PseudoHospital], way: str
) -> list[np.ndarray]:
    """Logits [N, K] on each hospital; all images in one pass where the adaptation needs no hospital of its own."""
    if way in ("none", "histogram_to_target"):
        whole = predict(model, np.concatenate([one.images for one in hospitals]), _BATCH, job.device)
        return np.split(whole, np.cumsum([len(one.images) for one in hospitals])[:-1])
    return [_adapted_logits(job, model, one.images, way) for one in hospitals]


def hospital_set(job: TrainingJob) -> HospitalSet:
    """The pseudo-hospitals of a prepared job, from this worker's memory where an earlier job of the same data made them."""
    matched = job.trial.config["adapt"] == "histogram_to_target"  # source images are then matched before anything else
    data = job.data
    sizes = len(job.folds["val"]), len(job.folds["target"])  # a probe of the time cuts the folds down
    key = (
        data.fold_hash("val"),
        data.fold_hash("target"),
        *sizes,
        data.image_px,
        data.fit,
        data.pseudo_hospitals,
        matched,
    )
    if key not in _sets:
        _sets[key] = _made(job.folds["val"], job.folds["target"], data.pseudo_hospitals)
        while len(_sets) > _KEPT_SETS:
            _sets.popitem(last=False)
    _sets.move_to_end(key)
    return _sets[key]


_sets: OrderedDict[tuple, HospitalSet] = OrderedDict()


def _made(val: ImageSet, target: ImageSet, count: int) -> HospitalSet:
    begin = time.perf_counter()
    val = val.subset(stratified(val.labels, MOST_SOURCE_IMAGES))
    references = np.sort(rng(0, "hospital references", len(target)).permutation(len(target))[:MOST_TARGET_IMAGES])
    shown, towards = np.asarray(val.images[:]), np.asarray(target.images[references])
    hospitals = tuple(pseudo_hospitals(shown, val.labels, towards, count=count))
    at_home, away = properties(shown[:MOST_SOURCE_IMAGES]), properties(towards[:MOST_SOURCE_IMAGES])
    distances = []
    for one in hospitals:
        home, real, own = standardised(at_home, away, properties(one.images[_spread(len(one.images))]))
        distances.append((energy_distance(own, real), energy_distance(own, home)))
    near, far = np.array(distances).T
    ids = tuple(tuple(val.ids[one.rows]) for one in hospitals)
    return HospitalSet(hospitals, ids, near, far, time.perf_counter() - begin)


def stratified(labels: np.ndarray, most: int) -> np.ndarray:
    """Sorted positions of at most about `most` images, each class with its share and two images or more."""
    if len(labels) <= most:
        return np.arange(len(labels))
    draw, chosen = rng(0, "hospital images", len(labels)), []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        chosen.append(draw.permutation(own)[: max(2, round(most * len(own) / len(labels)))])
    return np.sort(np.concatenate(chosen))


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, _MEASURED)).astype(int))


def _adapted_logits(job: TrainingJob, model: Classifier, images: np.ndarray, way: str) -> np.ndarray:
    adapted, shown = adapted_to(job, model, images, way)
    return predict(adapted, shown, _BATCH, job.device)


def _metrics(
    job: TrainingJob, logits: Mapping[str, np.ndarray], hospitals: Sequence[StoredHospital]
) -> dict[str, float]:
    """Predicted metrics; none for more than two classes."""
    if len(job.data.classes) != 2:
        return {}
    test = logits[SOURCE_TEST]
    at_home = auroc(test[:, 1] - test[:, 0], job.folds["test"].labels == 1)
    return blind_metrics(logits[SOURCE_VAL], logits[TARGET], hospitals, at_home)
