"""The loop inside a Train worker: images in once, then jobs from the job queue, one after another.

torch is imported inside the functions that run on workers: the processes that only carry this module do not need it.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.collective

from sweep.core.errors import Diverged
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data
from sweep.data.folds import Folds
from sweep.execution.job import Work
from sweep.execution.memory_limit import MemoryGuard
from sweep.execution.ray.job_queue import DONE
from sweep.execution.ray.preemption import Notice, Preempted
from sweep.execution.ray.shared_images import SharedImages, folds_of
from sweep.store.trial import RESULT, STATE, Rungs

Tell = Callable[[dict[str, Any]], bool]  # hands a report to the job queue; False: drop the job


class Cancelled(Exception):
    """The trial was stopped while its job ran."""


def train_worker(config: Mapping[str, Any]) -> None:
    """Entry point of every Train worker. `config`: job queue (actor), worker group (name), run_url, images, memory_bytes or None."""
    from sweep.training.workers import agreed

    job_queue, worker_group, run = config["job_queue"], config["worker_group"], Storage(config["run_url"])
    there = run.exists(CARD_FILE)
    if not agreed(there):
        ray.get(
            job_queue.worker_group_broke.remote(
                worker_group, f"{run.url} cannot be read on every node; give a --storage that all of them have"
            )
        )
        return
    _serve_jobs(job_queue, worker_group, run, config["images"], config["memory_bytes"])


def _serve_jobs(
    job_queue: Any, worker_group: str, run: Storage, images: SharedImages, memory_bytes: float | None
) -> None:
    import torch

    notice = Notice()
    leader = ray.train.get_context().get_world_rank() == 0
    data = Data.load(run)
    folds = folds_of(data, images)
    device = str(ray.train.torch.get_device()) if torch.cuda.is_available() else "cpu"
    while (work := _next_job(job_queue, worker_group, leader)) is not None:
        torch.set_num_threads(work.threads)

        def tell(report: dict[str, Any], signature: str = work.trial.signature) -> bool:
            return ray.get(job_queue.report.remote(worker_group, signature, report)) if leader else True

        try:
            with _memory_guard(memory_bytes, job_queue, worker_group):
                _serve(work, run, data, folds, device, leader, tell, notice)
        except Cancelled:
            pass
        except Preempted:
            if leader:
                ray.get(job_queue.leaving.remote(worker_group))
            raise  # to return would mean that this worker group is finished: Train starts it elsewhere
        tell({"kind": DONE})
        if work.last:
            return


def _memory_guard(most_bytes: float | None, job_queue: Any, worker_group: str) -> contextlib.AbstractContextManager:
    if most_bytes is None:
        return contextlib.nullcontext()
    return MemoryGuard(most_bytes, lambda text: ray.get(job_queue.over_memory.remote(worker_group, text)))


def _next_job(job_queue: Any, worker_group: str, leader: bool) -> Work | None:
    """The leader takes a job off the job queue; the workers beside it are told and look it up."""
    work = ray.get(job_queue.take.remote(worker_group, ray.get_runtime_context().get_node_id())) if leader else None
    if ray.train.get_context().get_world_size() == 1:
        return work
    there_is_one = ray.train.collective.broadcast_from_rank_zero(work is not None)
    return work if leader or not there_is_one else ray.get(job_queue.held.remote(worker_group))


def _serve(
    work: Work, run: Storage, data: Data, folds: Folds, device: str, leader: bool, tell: Tell, notice: Notice
) -> None:
    """Every seed of one trial that has no result yet. A seed that fails does not stop the next one."""
    from sweep.pipeline.training_job import TrainingJob

    alone = ray.train.get_context().get_world_size() == 1
    for seed in work.trial.seeds:
        folder = work.trial.seed_folder(seed)
        done = run.exists(f"{folder}/{RESULT}")
        if not alone:  # all workers look before one of them goes on to write
            ray.train.collective.barrier()
        if not done:
            rungs = work.rungs if seed == 0 else Rungs()
            job = TrainingJob(
                work.trial,
                seed,
                data.seen_by(work.trial.config),
                folds.seen_by(work.trial.config),
                work.attacks,
                run,
                rungs,
                device,
                leader=leader,
            )
            job.state = run.read(f"{folder}/{STATE}") if run.exists(f"{folder}/{STATE}") else None
            job.on_epoch, job.interrupted = _epoch_reporter(seed, tell), notice
            if leader:
                job.save_state = _throttled(
                    lambda state, folder=folder: run.write(f"{folder}/{STATE}", state), work.checkpoint_every_s
                )
            if not _settled(job, alone, tell):
                continue
        tell({"kind": "finish", "seed": seed})


def _settled(job: Any, alone: bool, tell: Tell) -> bool:
    """Run one seed; False when it failed, which has then been told.

    Among several workers only a divergence is everybody's own; anything else must end all of them, so that none waits for the
    one that failed: Train starts them anew and the job queue counts it.
    """
    from sweep.pipeline.train_and_evaluate import run_seed
    from sweep.training.midway import Interrupted

    try:
        run_seed(job)
    except Cancelled:
        raise
    except Interrupted as stop:
        if job.leader:
            job.run.write(f"{job.folder}/{STATE}", stop.state)
        raise Preempted from stop
    except Exception as error:
        if not alone and not isinstance(error, Diverged):
            raise
        tell({"kind": "failed", "seed": job.seed, **failure(error)})
        return False
    if job.leader and job.run.exists(f"{job.folder}/{STATE}"):
        job.run.delete(f"{job.folder}/{STATE}")
    return True


def _epoch_reporter(seed: int, tell: Tell) -> Callable[[dict[str, Any]], None]:
    from sweep.training.workers import agreed

    def on_epoch(metrics: dict[str, Any]) -> None:
        if not agreed(tell({"kind": "epoch", "seed": seed, **metrics})):
            raise Cancelled

    return on_epoch


def _throttled(save: Callable[[bytes], None], every_s: float) -> Callable[[bytes], None]:
    """Save at most once in `every_s`: short epochs would otherwise be spent writing."""
    last = time.monotonic()

    def maybe(state: bytes) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            save(state)
            last = time.monotonic()

    return maybe


def failure(error: BaseException) -> dict[str, str]:
    """Class and reason of a failure, for the ledger."""
    text = str(error) or type(error).__name__
    if isinstance(error, Diverged) or type(error).__name__ == "Collapsed":
        return {"failure": "DIVERGED", "reason": text}
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return {"failure": "OOM", "reason": text}
    place = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" ({Path(place.filename).name}:{place.lineno})" if place else ""
    return {"failure": "FAILED", "reason": f"{type(error).__name__}: {text}{where}"}
