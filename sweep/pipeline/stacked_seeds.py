"""The seeds of one trial trained together as one stacked model, where `resources.stack_seeds` and the configuration allow it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from sweep.core.errors import Diverged, InputError
from sweep.core.seeds import named_seed
from sweep.pipeline.stages import model_stage
from sweep.pipeline.train_and_evaluate import prepared, report_epoch
from sweep.pipeline.training_inputs import TrainingInputs, training_inputs
from sweep.pipeline.training_job import StackedSeed, TrainingJob
from sweep.shards.batches import ResidentBatches
from sweep.store.artifact_store import ArtifactStore
from sweep.training.fit import FitOptions, FitResult
from sweep.training.hooks import TrainingHooks
from sweep.training.stacked import NotStackable, StackInterrupted, bytes_of_member, fit_stacked, why_not_stacked

_SHARE_OF_MEMORY = 0.5  # of the free memory of a GPU that stacked seeds may take by the estimate


class SeedsInterrupted(Exception):
    """The seeds were told to stop between two steps; `states` continue each of them, by seed."""

    def __init__(self, states: dict[int, bytes]) -> None:
        self.states = states
        super().__init__("stopped between two steps; the states of all seeds are kept")


def train_together(jobs: Sequence[TrainingJob], stack_seeds: str | int) -> dict[int, StackedSeed]:
    """Train the first seeds of `jobs`, all of one trial, as one stack; seed -> its model, empty where they train one after another.

    `stack_seeds` is auto (as many as fit into the memory of a GPU; none on a CPU, where stacks are slower), off, or the largest
    number of a stack. The epochs of the first job are reported while it trains, those of the others when each is taken up.
    Raises SeedsInterrupted, and whatever a report raises.
    """
    if stack_seeds == "off" or len(jobs) < 2 or (stack_seeds == "auto" and not jobs[0].device.startswith("cuda")):
        return {}
    waiting = [prepared(job) for job in jobs if not _is_shared(job)]
    try:
        part = waiting[: _most(waiting, stack_seeds)]
        return _stack(part) if len(part) > 1 else {}
    except (NotStackable, InputError, torch.OutOfMemoryError) as reason:
        # A mistake of the configuration is reported for each seed when it is trained alone.
        warnings.warn(f"seeds train one after another: {reason}", RuntimeWarning, stacklevel=2)
        return {}


def _is_shared(job: TrainingJob) -> bool:
    """Whether a stage of the run has made this seed's model."""
    return ArtifactStore(job.run).meta(model_stage(job.trial.config, job.data, job.seed)) is not None


def _most(jobs: Sequence[TrainingJob], stack_seeds: str | int) -> int:
    """Members of a stack: as asked, or as many as the estimate says fit. Raises NotStackable where fewer than two do."""
    if len(jobs) < 2:
        return 0
    if isinstance(stack_seeds, int):
        return stack_seeds
    inputs = training_inputs(jobs[0])
    with closing(inputs.batches):
        each = bytes_of_member(inputs.model, inputs.recipe.batch_size, jobs[0].data.image_px)
    free, _ = torch.cuda.mem_get_info(torch.device(jobs[0].device))
    most = int(free * _SHARE_OF_MEMORY / each)
    if most < 2:
        raise NotStackable(f"a seed needs about {each / 1e9:.1f} GB and {free / 1e9:.1f} GB of the GPU are free")
    return most


def _stack(jobs: Sequence[TrainingJob]) -> dict[int, StackedSeed]:
    with ExitStack() as stack:
        inputs = [training_inputs(job) for job in jobs]
        for one in inputs:
            stack.enter_context(closing(one.batches))
        return _trained(jobs, inputs)


def _trained(jobs: Sequence[TrainingJob], inputs: Sequence[TrainingInputs]) -> dict[int, StackedSeed]:
    _check(jobs, inputs)
    hooks = [replace(job.hooks, on_epoch=None) for job in jobs]
    hooks[0] = replace(jobs[0].hooks, on_epoch=partial(report_epoch, jobs[0], model=inputs[0].model))
    val = jobs[0].folds["val"]
    try:
        outcomes = _fitted(jobs, inputs, hooks, (val.images, val.labels))
    except StackInterrupted as stop:
        raise SeedsInterrupted(dict(zip((job.seed for job in jobs), stop.states, strict=True))) from stop
    return {
        job.seed: StackedSeed(one.model, outcome, one.synthetic, place == 0)
        for place, (job, one, outcome) in enumerate(zip(jobs, inputs, outcomes, strict=True))
    }


def _fitted(
    jobs: Sequence[TrainingJob],
    inputs: Sequence[TrainingInputs],
    hooks: Sequence[TrainingHooks],
    val: tuple[np.ndarray, np.ndarray],
) -> list[FitResult | Diverged]:
    return fit_stacked(
        [one.model for one in inputs],
        [one.batches for one in inputs],
        val,
        inputs[0].recipe,
        seeds=[named_seed(job.seed, "fit") for job in jobs],
        options=FitOptions(jobs[0].device, capture=jobs[0].capture),
        hooks=hooks,
        states=[job.state for job in jobs],
        labels=[one.labels for one in inputs],
    )


def _check(jobs: Sequence[TrainingJob], inputs: Sequence[TrainingInputs]) -> None:
    """Raises NotStackable for what cannot be seen in recipe and shapes."""
    why = why_not_stacked(inputs[0].recipe, [one.model for one in inputs])
    if why is not None:
        raise NotStackable(why)
    if any(one.pretraining for one in inputs):
        raise NotStackable("they are trained on synthetic images first")
    if not all(isinstance(one.batches, ResidentBatches) for one in inputs):
        raise NotStackable("their images are streamed from the shards")
    if len({one.batches.steps_per_epoch for one in inputs}) > 1:
        raise NotStackable("their epochs have different lengths")
    first = jobs[0].folds["val"]
    for job in jobs[1:]:
        other = job.folds["val"]
        same_labels = np.array_equal(other.labels, first.labels, equal_nan=first.labels.dtype.kind == "f")
        if not same_labels or not np.array_equal(other.images[:], first.images[:]):
            raise NotStackable("their validation images differ")
