"""`adapt`: adaptation to the target's appearance, of the source images before training or of the model and target images after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sweep.models.classifier import Classifier
from sweep.pipeline.training_job import FOLD_OF_SPLIT, TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import Images, changed
from sweep.training.adapt import adapt_batch_norm, grey_histogram, match_histogram, mix_batch_norm


def before_training(job: TrainingJob) -> TrainingJob:
    """The job with the folds that its model is trained and evaluated on.

    With `histogram_to_target` all source images, synthetic ones too (`image_transform`), get the target's grey levels: a model trained
    on matched images is validated and tested on matched ones, and the target stays as it is.
    """
    if job.trial.config["adapt"] != "histogram_to_target":
        return job
    transform = transform_to(job.folds["target"])
    folds = {
        name: fold if name == "target" else replace(fold, images=transform(fold.images))
        for name, fold in job.folds.items()
    }
    return replace(job, folds=folds, image_transform=transform)


def after_training(job: TrainingJob, model: Classifier) -> tuple[dict[str, ImageSet], dict[str, Classifier]]:
    """The folds to predict and the model for each split, the target's adapted as the configuration says."""
    models: dict[str, Classifier] = dict.fromkeys(FOLD_OF_SPLIT, model)
    folds, way = dict(job.folds), job.trial.config["adapt"]
    if way == "batch_norm":
        models["target"] = adapt_batch_norm(model, folds["target"].images, device=job.device)
    elif way == "batch_norm_mixed":
        share = job.trial.config["adapt_source_share"]
        models["target"] = mix_batch_norm(model, folds["target"].images, share, device=job.device)
    elif way == "histogram":
        folds["target"] = replace(folds["target"], images=transform_to(folds["train"])(folds["target"].images))
    return folds, models


def transform_to(fold: ImageSet) -> Callable[[Images], Images]:
    """The transform that matches each image's grey-level histogram to that of `fold`; images in shards are transformed as they are read."""
    reference = grey_histogram(fold.images)
    return lambda images: changed(images, lambda block: match_histogram(block, reference))
