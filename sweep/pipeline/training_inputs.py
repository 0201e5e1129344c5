"""One job -> what its training takes: the untrained model, the training set mixed with synthetic images, batches and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.core.seeds import named_seed
from sweep.models.classifier import Classifier
from sweep.pipeline.stages import donor_stage, pool_stages, read_colorizer, read_pool
from sweep.pipeline.training_job import TrainingJob, build
from sweep.shards.batches import Batches, batches_of
from sweep.shards.hyperparameters import PRETRAIN
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import mix, steps_per_epoch, synthetic_counts
from sweep.training.fit import Pretraining
from sweep.training.recipe import Recipe
from sweep.training.workers import rank, world_size


@dataclass
class TrainingInputs:
    """What the loop gets of one job."""

    model: Classifier
    recipe: Recipe
    train: ImageSet
    batches: Batches
    labels: np.ndarray
    pretraining: Pretraining | None = None

    @property
    def synthetic(self) -> int:
        """Synthetic images of the training set."""
        return int(self.train.synthetic.sum())


def training_inputs(job: TrainingJob) -> TrainingInputs:
    """The untrained model, its batches and labels; the caller closes the batches."""
    recipe = Recipe.from_config(job.trial.config)
    model = build(job.trial.config, job.data, job.seed, _donated(job))
    train, pretraining = _mixed(job), None
    trained = train
    if job.trial.config.get("mixing_policy") == PRETRAIN and train.synthetic.any():
        made = _batches(job, train.subset(np.flatnonzero(train.synthetic)), recipe)
        pretraining = Pretraining(made, job.trial.config["pretrain_share"])
        trained = train.subset(np.flatnonzero(~train.synthetic))
    batches = _batches(job, trained, recipe)
    return TrainingInputs(model, recipe, train, batches, _as_drawn(trained, batches, recipe), pretraining)


def _batches(job: TrainingJob, train: ImageSet, recipe: Recipe) -> Batches:
    """Batches of the mixed training set: by default as many per epoch as the real images alone would fill (mixing_budget)."""
    real = len(job.folds["train"])
    steps = steps_per_epoch(real, len(train), recipe.batch_size, job.trial.config.get("mixing_budget", "steps"))
    settings = {"seed": named_seed(job.seed, "batches"), "steps_per_epoch": steps, "balanced": recipe.balanced_sampling}
    share = (rank(), world_size())
    return batches_of(train, min(recipe.batch_size, real), **settings, share=share, device=job.device)


def _as_drawn(train: ImageSet, batches: Batches, recipe: Recipe) -> np.ndarray:
    """Labels from which class weights are computed: the same for every worker and, unless sampling is balanced, every seed."""
    return train.labels[batches.order(0)] if recipe.balanced_sampling else train.labels


def _donated(job: TrainingJob) -> bytes | None:
    """The colorizer of the other domain's model, where the configuration starts from it."""
    donor = donor_stage(job.trial.config, job.data, job.seed)
    return read_colorizer(job.store, donor) if donor else None


def _mixed(job: TrainingJob) -> ImageSet:
    config, store = job.trial.config, job.store
    train = job.folds["train"]
    if not config["synthetic_per_real"]:
        return train
    ratio, policy = config["synthetic_per_real"], config["mixing_policy"]
    counts = synthetic_counts(train.labels, ratio, policy)
    stages = pool_stages(config, job.data, job.seed)
    pools = {
        label: job.image_transform(read_pool(store, stage, job.data.image_px, counts[label]))
        for label, stage in stages.items()
    }
    return mix(train, pools, synthetic_per_real=ratio, policy=policy, seed=named_seed(job.seed, "mix"))
