"""`adapt`: adaptation to the target's appearance, of the source images before training or of the model and target images after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sweep.data.domains import FOLD_OF_SPLIT
from sweep.models.classifier import Classifier
from sweep.pipeline.training_job import TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import Images, changed
from sweep.training.adapt import (
    adapt_batch_norm,
    adapt_entropy,
    grey_histogram,
    has_batch_norm,
    has_norms,
    match_histogram,
    mix_batch_norm,
)

NONE, BATCH_NORM, HISTOGRAM, ENTROPY = "none", "batch_norm", "histogram", "entropy"
BATCH_NORM_MIXED, BEFORE_TRAINING = "batch_norm_mixed", "histogram_to_target"


def before_training(job: TrainingJob) -> TrainingJob:
    """The job with the folds that its model is trained and evaluated on.

    With `histogram_to_target` all source images, synthetic ones too (`image_transform`), get the target's grey levels: a model trained
    on matched images is validated and tested on matched ones, and the target stays as it is.
    """
    if job.trial.config["adapt"] != BEFORE_TRAINING:
        return job
    transform = transform_to(job.folds["target"])
    folds = {
        name: fold if name == "target" else replace(fold, images=transform(fold.images))
        for name, fold in job.folds.items()
    }
    return replace(job, folds=folds, image_transform=transform)


def after_training(
    job: TrainingJob, model: Classifier, way: str | None = None
) -> tuple[dict[str, ImageSet], dict[str, Classifier]]:
    """The folds to predict and the model for each split, the target's adapted by `way`, else as the configuration says."""
    models: dict[str, Classifier] = dict.fromkeys(FOLD_OF_SPLIT, model)
    target = job.folds["target"]
    models["target"], images = adapted_to(job, model, target.images, way or job.trial.config["adapt"])
    return {**job.folds, "target": replace(target, images=images)}, models


def adapted_to(job: TrainingJob, model: Classifier, images: Images, way: str) -> tuple[Classifier, Images]:
    """The trained model and the images of one hospital, adapted to that hospital by `way`; both unchanged for none.

    No label of the hospital is read.
    """
    if way == BATCH_NORM:
        return adapt_batch_norm(model, images, device=job.device), images
    if way == BATCH_NORM_MIXED:
        share = job.trial.config["adapt_source_share"]
        return mix_batch_norm(model, images, share, device=job.device), images
    if way == ENTROPY:
        shares = np.bincount(job.folds["train"].labels, minlength=len(job.data.classes)) / len(job.folds["train"])
        return adapt_entropy(model, images, shares, device=job.device).model, images
    if way == HISTOGRAM:
        return model, transform_to(job.folds["train"])(images)
    return model, images


def alternatives_of(job: TrainingJob, model: Classifier) -> tuple[str, ...]:
    """Adaptations to try on the trained model beside the configured one: those asked for that can change this model or its images."""
    own = NONE if job.trial.config["adapt"] == BEFORE_TRAINING else job.trial.config["adapt"]
    return tuple(name for name in job.data.try_adaptations if can_adapt(model, name) and name != own)


def can_adapt(model: Classifier, way: str) -> bool:
    """Whether one of the adaptations that can be tried on a trained model changes this one or its images, or leaves both alone on purpose."""
    return {BATCH_NORM: has_batch_norm(model), ENTROPY: has_norms(model)}.get(way, True)


def transform_to(fold: ImageSet) -> Callable[[Images], Images]:
    """The transform that matches each image's grey-level histogram to that of `fold`; images in shards are transformed as they are read."""
    reference = grey_histogram(fold.images)
    return lambda images: changed(images, lambda block: match_histogram(block, reference))
