"""One job on one worker: the seeds of a trial, one after another. The same for every engine, and without Ray.

torch is imported inside the functions: a process that only hands jobs on does not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sweep.core.activity import noting
from sweep.core.errors import Diverged
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.data.folds import Folds
from sweep.execution.job import Report, Work, failure
from sweep.execution.state_saver import StateSaver
from sweep.store.trial import RESULT, STATE, Rungs

if TYPE_CHECKING:
    from sweep.pipeline.training_job import StackedSeed, TrainingJob

Tell = Callable[[Report], bool]
"""Hands a report to the engine; False: the engine wants the job dropped."""


class Cancelled(Exception):
    """The engine stopped the trial while its job ran."""


class Preempted(Exception):
    """The worker must stop before its job is done; the seed's training state is saved."""


@dataclass(frozen=True)
class WorkerContext:
    """What stays the same from job to job: the run, its data and images, and where this worker trains."""

    run: Storage
    data: Data
    folds: Folds
    device: str = "cpu"
    interrupted: Callable[[], bool] | None = None  # asked after every optimiser step; yes ends the job with Preempted


def serve(work: Work, context: WorkerContext, tell: Tell) -> None:
    """Train, evaluate and attack every seed that has no result yet; a seed that fails does not stop the next one.

    Several workers that train one trial together all call this; `tell` of those that are not rank 0 returns True.
    Raises Cancelled when `tell` returned False after an epoch, and Preempted.
    """
    import torch

    from sweep.training.workers import agreed

    torch.set_num_threads(work.threads)
    stacked: dict[int, StackedSeed] = {}
    together = work.stack_seeds != "off"
    for place, seed in enumerate(work.trial.seeds):
        # agreed() is a barrier: every worker has looked before one of them goes on to write
        if not agreed(context.run.exists(f"{work.trial.seed_folder(seed)}/{RESULT}")):
            if together and seed not in stacked:
                stacked = _stacked(work, work.trial.seeds[place:], context, tell)
                together = bool(stacked)
            job = replace(_training_job(work, seed, context, tell), trained=stacked.pop(seed, None))
            with noting(seed=seed):
                settled = _settled(job, tell)
            if not settled:
                continue
        tell({"kind": "finish", "seed": seed})


def _stacked(work: Work, seeds: Sequence[int], context: WorkerContext, tell: Tell) -> dict[int, StackedSeed]:
    """Those of `seeds` that were trained together now; none of them where they train one after another."""
    from sweep.training.workers import world_size

    if len(seeds) < 2 or world_size() > 1:
        return {}
    from sweep.pipeline.stacked_seeds import SeedsInterrupted, train_together

    waiting = [seed for seed in seeds if not context.run.exists(f"{work.trial.seed_folder(seed)}/{RESULT}")]
    try:
        return train_together([_training_job(work, seed, context, tell) for seed in waiting], work.stack_seeds)
    except SeedsInterrupted as stop:
        for seed, state in stop.states.items():
            context.run.write(f"{work.trial.seed_folder(seed)}/{STATE}", state)
        raise Preempted from stop


def _training_job(work: Work, seed: int, context: WorkerContext, tell: Tell) -> TrainingJob:
    from sweep.pipeline.training_job import TrainingJob
    from sweep.training.hooks import TrainingHooks
    from sweep.training.workers import rank

    run, config, leader = context.run, work.trial.config, rank() == 0
    state = f"{work.trial.seed_folder(seed)}/{STATE}"
    saver = StateSaver(lambda content: run.write(state, content), work.checkpoint_every_s) if leader else None
    return TrainingJob(
        work.trial,
        seed,
        context.data.seen_by(config),
        context.folds.seen_by(config),
        work.attacks,
        run,
        rungs=work.rungs if seed == 0 else Rungs(),
        device=context.device,
        leader=leader,
        capture=work.capture,
        state=run.read(state) if run.exists(state) else None,
        hooks=TrainingHooks(
            _epoch_reporter(seed, tell),
            None if saver is None else saver.save,
            context.interrupted,
            state_due=None if saver is None else saver.due,
            settle_state=None if saver is None else saver.settle,
        ),
    )


def _settled(job: TrainingJob, tell: Tell) -> bool:
    """Run one seed; False when it failed, which is then reported.

    Among several workers only a divergence is common to all of them. Anything else must end all of them, so that none waits for the
    one that failed: the engine starts them anew and counts it.
    """
    from sweep.pipeline.train_and_evaluate import run_seed
    from sweep.training.midway import Interrupted
    from sweep.training.workers import world_size

    try:
        run_seed(job)
    except Cancelled:
        raise
    except Interrupted as stop:
        if job.leader:
            job.run.write(f"{job.folder}/{STATE}", stop.state)
        raise Preempted from stop
    except Exception as error:
        if world_size() > 1 and not isinstance(error, Diverged):
            raise
        tell({"kind": "failed", "seed": job.seed, **failure(error)})
        return False
    if job.leader and job.run.exists(f"{job.folder}/{STATE}"):
        job.run.delete(f"{job.folder}/{STATE}")
    return True


def _epoch_reporter(seed: int, tell: Tell) -> Callable[[Report], None]:
    from sweep.training.workers import agreed

    def on_epoch(metrics: Report) -> None:
        if not agreed(tell({"kind": "epoch", "seed": seed, **metrics})):
            raise Cancelled

    return on_epoch
