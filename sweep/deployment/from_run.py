"""Seeds of a finished trial in a run folder -> the model to export, with predictions, threshold and reference images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from sweep.config.hyperparameters import restored
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.data.domains import FOLD_OF_SPLIT
from sweep.deployment.combine import SOUP, Ensemble, check_shared_start, mean_logits, soup
from sweep.deployment.decisions import Threshold, choose
from sweep.deployment.familiarity import (
    NEIGHBOURS,
    PERCENTILE,
    Reference,
    distances,
    reference_of,
    sample,
    unit_features,
)
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import probabilities
from sweep.models.classifier import Classifier
from sweep.pipeline.adaptation import ENTROPY, HISTOGRAM, after_training, can_adapt
from sweep.pipeline.train_and_evaluate import prepared
from sweep.pipeline.training_job import TrainingJob, rebuilt
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import Images
from sweep.shards.schema import NO_LABEL
from sweep.store.ledger import Event, finished_record
from sweep.store.trial import MODEL, Attacks, Trial
from sweep.training.adapt import adapt_batch_norm, grey_histogram

PREDICTIONS = "predictions.parquet"
CHOSEN_ON = "source_val"  # split of the predictions that thresholds are chosen on
_NEEDS_NO_IMAGES = ("none", "histogram_to_target")  # values of `adapt` after which the model is the trained one
_PREDICT_BATCH = 128  # as in training, so that sums round alike


@dataclass(frozen=True)
class Source:
    """Which model of a run: the trial and its seeds, how several are combined, and the adaptation where it is not the configured one."""

    run: Storage
    signature: str
    seeds: tuple[int, ...]
    combination: str
    adapt: str | None = None

    @property
    def adaptation(self) -> str:
        """How the model is adapted to the target."""
        return self.adapt or str(self.config["adapt"])

    @property
    def records(self) -> list[Event]:
        """The finish event of each seed; InputError where one has not finished."""
        return [finished_record(self.run, self.signature, seed) for seed in self.seeds]

    @property
    def config(self) -> dict[str, Any]:
        """The complete configuration of the trial."""
        return restored(self.records[0]["config"])

    def file(self, seed: int, name: str) -> bytes:
        """One file of a seed; InputError when the run did not keep it."""
        where = f"trials/{self.signature}/seed-{seed}/{name}"
        try:
            return self.run.read(where)
        except FileNotFoundError:
            raise InputError(
                self.run.address(where), "is absent", "copy the whole run folder, or run the sweep again"
            ) from None


@dataclass(frozen=True)
class Built:
    """The exported model with everything that its folder says of it.

    `predictions` has a row per image: image_id, group, split, label or labels, and the exported model's logits. `reference` is None without
    the run's images. `flagged` is the share of images that the reference flags, by split.
    """

    members: list[Classifier]
    predictions: pd.DataFrame
    multi_label: bool
    histogram: np.ndarray | None = None
    reference: Reference | None = None
    flagged: Mapping[str, float] = field(default_factory=dict)

    @property
    def model(self) -> Classifier | Ensemble:
        """The members as one model."""
        return self.members[0] if len(self.members) == 1 else Ensemble(self.members, self.multi_label).eval()

    def familiarity(self) -> dict[str, Any] | None:
        """The flag's facts for config.json."""
        if self.reference is None:
            return None
        return {
            "neighbours": NEIGHBOURS,
            "percentile": PERCENTILE,
            "training_images": len(self.reference.features),
            "feature_limit": self.reference.feature_limit,
            "property_limit": self.reference.property_limit,
            "flagged": dict(self.flagged),
        }


def build(source: Source, data: Data, with_images: bool = True) -> Built:
    """The model from the run's weights, adapted to the target as its configuration says, and its predictions on all splits.

    A soup is adapted after its weights were averaged. Without the run's images there is no reference. Raises InputError for seeds that share
    no start (soup), an adaptation that the model cannot have, and images that are needed and absent.
    """
    _check(source, with_images)
    members = [rebuilt(source.config, data, seed, source.file(seed, MODEL)).eval() for seed in source.seeds]
    if not with_images:
        return Built(members, _kept_predictions(source, data), data.multi_label)
    job = _job(source, data)
    train = job.folds["train"].images
    if source.combination == SOUP:
        members = [_soup(source, members, train)]
    _check_adaptation(source, data, members[0])
    seen = [after_training(job, member, source.adapt) for member in members]
    folds = seen[0][0]
    if source.combination == SOUP or source.adapt:
        predictions = _as_one([new_predictions(source, models, folds) for _, models in seen], data)
    else:
        predictions = _kept_predictions(source, data)
    histogram = grey_histogram(train) if source.adaptation == HISTOGRAM else None
    made = Built([adapted["target"] for _, adapted in seen], predictions, data.multi_label, histogram)
    reference = reference_of(made.model, train, folds["val"].images, "cpu")
    flagged = {split: _flagged(made.model, reference, folds[fold].images) for split, fold in FOLD_OF_SPLIT.items()}
    return replace(made, reference=reference, flagged=flagged)


def _check(source: Source, with_images: bool) -> None:
    way = source.adaptation
    if not with_images and (source.combination == SOUP or way not in _NEEDS_NO_IMAGES):
        what = "a soup" if source.combination == SOUP else f"adapt: {way}"
        raise InputError("--no-reference", f"{what} needs the run's images", "leave --no-reference out")


def _check_adaptation(source: Source, data: Data, model: Classifier) -> None:
    if source.adapt is None:
        return
    if not can_adapt(model, source.adapt):
        raise InputError(
            "--adapt", f"{source.adapt}: this network has no layer that it changes", "give another, or none"
        )
    if source.adapt == ENTROPY and data.multi_label:
        raise InputError("--adapt", "entropy: an image may have several findings here", "give another, or none")


def _job(source: Source, data: Data) -> TrainingJob:
    """The trial as its seeds were evaluated, without attacks: folds as the model is shown them."""
    trial = Trial(source.config, data.hash, source.seeds)
    folds = {fold: data.open(fold) for fold in (*FOLD_OF_SPLIT.values(), "train")}
    return prepared(TrainingJob(trial, source.seeds[0], data, folds, Attacks(), source.run))


def soup_of(source: Source, data: Data, train: Images) -> Classifier:
    """The seeds' mean weights as one model, from the run's weights; `train` are training images as the model sees them.

    Raises InputError as `build` does.
    """
    _check(source, with_images=True)
    return _soup(source, [rebuilt(source.config, data, seed, source.file(seed, MODEL)) for seed in source.seeds], train)


def _soup(source: Source, members: Sequence[Classifier], train: Images) -> Classifier:
    check_shared_start(source.config, members[0])
    members[0].load_state_dict(soup([member.state_dict() for member in members]))
    # Averaged weights have other activations than any of the seeds: statistics of batch norm are taken anew (Izmailov et al. 2018, 3.2).
    return adapt_batch_norm(members[0], sample(train))


def new_predictions(source: Source, models: Mapping[str, Classifier], folds: Mapping[str, ImageSet]) -> pd.DataFrame:
    """The run's rows of predictions with the logits of the model of each split (`after_training` gives both arguments)."""
    logits = [predict(models[split], folds[fold].images, _PREDICT_BATCH) for split, fold in FOLD_OF_SPLIT.items()]
    return _kept(source)[0].assign(seed=0, logits=list(np.concatenate(logits)))


def _kept_predictions(source: Source, data: Data) -> pd.DataFrame:
    """Predictions that the run kept; of an ensemble the logits of the mean probability."""
    return _as_one(_kept(source), data)


def _as_one(frames: list[pd.DataFrame], data: Data) -> pd.DataFrame:
    if len(frames) == 1:
        return frames[0].assign(seed=0)
    stacked = torch.tensor(np.stack([np.stack(frame["logits"].to_numpy()) for frame in frames]))
    return frames[0].assign(seed=0, logits=list(mean_logits(stacked, data.multi_label).numpy()))


def _kept(source: Source) -> list[pd.DataFrame]:
    """The predictions of each seed, in the order of the splits and of each fold."""
    return [pd.read_parquet(io.BytesIO(source.file(seed, PREDICTIONS))) for seed in source.seeds]


def _flagged(model: Classifier | Ensemble, reference: Reference, images: Images) -> float:
    chosen = sample(images)
    found = distances(reference, unit_features(model, chosen), chosen).reasons(reference)
    return sum(map(bool, found)) / max(1, len(found))


def thresholds_of(predictions: pd.DataFrame, data: Data, policy: str) -> list[Threshold]:
    """Thresholds chosen on the source's validation images: of class 1 of two, of each finding; none of more classes."""
    rows = predictions[predictions["split"] == CHOSEN_ON]
    chance = probabilities(np.stack(rows["logits"].to_numpy()), multi_label=data.multi_label)
    if data.multi_label:
        labels = np.stack(rows["labels"].to_numpy())
        found = []
        for number, name in enumerate(data.classes):
            known = ~np.isnan(labels[:, number])
            found.append(choose(policy, name, chance[known, number], labels[known, number] == 1))
        return found
    if len(data.classes) != 2:
        return []
    known = (rows["label"] != NO_LABEL).to_numpy()
    return [choose(policy, data.classes[1], chance[known, 1], (rows["label"] == 1).to_numpy()[known])]
