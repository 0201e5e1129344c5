"""configuration -> what is done about the other hospital's look: `adapt`, at the target after training, or on the source before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sweep.models.classifier import Classifier
from sweep.pipeline.training_job import FOLD_OF_SPLIT, TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import Images, changed
from sweep.training.adapt import adapt_batch_norm, grey_histogram, match_histogram

Look = Callable[[Images], Images]


def before_training(job: TrainingJob) -> tuple[dict[str, ImageSet], Look]:
    """The folds as the model learns and is judged on them, and what its source images went through: with `histogram_to_target` all of them
    get the target's grey levels, synthetic ones too.

    A model that learnt from matched images is validated and tested on matched ones, and meets the target as it is.
    """
    folds = dict(job.folds)
    if job.trial.config["adapt"] != "histogram_to_target":
        return folds, lambda images: images
    image_transform = look_of(folds["target"])
    return {
        name: fold if name == "target" else replace(fold, images=image_transform(fold.images))
        for name, fold in folds.items()
    }, image_transform


def after_training(job: TrainingJob, model: Classifier) -> tuple[dict[str, ImageSet], dict[str, Classifier]]:
    """Folds to predict and the model for each split: at the target with the help that the configuration asks for."""
    models, folds, way = dict.fromkeys(FOLD_OF_SPLIT, model), dict(job.folds), job.trial.config["adapt"]
    if way == "batch_norm":
        models["target"] = adapt_batch_norm(model, folds["target"].images, device=job.device)
    elif way == "histogram":
        folds["target"] = replace(folds["target"], images=look_of(folds["train"])(folds["target"].images))
    return folds, models


def look_of(fold: ImageSet) -> Look:
    """What gives each image the grey levels of `fold` as a whole; images in shards are changed as they are read."""
    reference = grey_histogram(fold.images)
    return lambda images: changed(images, lambda block: match_histogram(block, reference))
