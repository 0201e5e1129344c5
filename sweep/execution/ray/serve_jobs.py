"""Inside a worker: the images once, then jobs from the job queue, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import ray

from sweep.core.activity import heard_by
from sweep.core.devices import started_device
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data
from sweep.execution.job import DONE, Report, Said, Work
from sweep.execution.ray.preemption import NodeNotice, TrainNotice
from sweep.execution.ray.shared_images import SharedImages, folds_of
from sweep.execution.usage import usage
from sweep.execution.worker_limits import WorkerLimits, limited
from sweep.execution.worker_loop import Cancelled, Preempted, Tell, WorkerContext, serve
from sweep.store.trial import Trial

NextJob = Callable[[], Work | None]


def serve_alone(job_queue: Any, worker_group: str, run_url: str, images: SharedImages, limits: WorkerLimits) -> None:
    """The loop of a worker group of one worker, in a Ray task. Raises Preempted when its machine will be taken away."""
    device = started_device(bool(ray.get_gpu_ids()))
    import sweep.pipeline.train_and_evaluate  # noqa: F401 - loaded while the driver still prepares the first job

    run = Storage(run_url)
    if not run.exists(CARD_FILE):
        _refuse(job_queue, worker_group, run)
        return
    data = Data.load(run)
    context = WorkerContext(run, data, folds_of(data, images), device, NodeNotice())
    _serve_jobs(job_queue, worker_group, context, limits, lambda: _take(job_queue, worker_group))


def train_worker(config: Mapping[str, Any]) -> None:
    """Entry point of every Train worker. `config`: job queue (actor), worker group (name), run_url, images, limits."""
    import ray.train
    import ray.train.torch
    import torch

    from sweep.training.workers import agreed

    job_queue, worker_group, run = config["job_queue"], config["worker_group"], Storage(config["run_url"])
    if not agreed(run.exists(CARD_FILE)):
        _refuse(job_queue, worker_group, run)
        return
    data = Data.load(run)
    device = str(ray.train.torch.get_device()) if torch.cuda.is_available() else "cpu"
    context = WorkerContext(run, data, folds_of(data, config["images"]), device, TrainNotice())
    leader = ray.train.get_context().get_world_rank() == 0
    _serve_jobs(
        job_queue,
        worker_group,
        context,
        config["limits"],
        lambda: _next_of_group(job_queue, worker_group, leader),
        leader,
    )


def _serve_jobs(
    job_queue: Any,
    worker_group: str,
    context: WorkerContext,
    limits: WorkerLimits,
    next_job: NextJob,
    leader: bool = True,
) -> None:
    def say(said: Said) -> None:
        ray.get(job_queue.ending.remote(worker_group, said))

    while (work := next_job()) is not None:

        def tell(report: Report, signature: str = work.trial.signature) -> bool:
            return ray.get(job_queue.report.remote(worker_group, signature, report)) if leader else True

        def note(facts: dict[str, Any], trial: Trial = work.trial) -> None:
            job_queue.note.remote(trial.signature, {**facts, **usage(), "config": dict(trial.config)})

        try:
            with limited(limits, say) as heard, heard_by(note) if leader else nullcontext():
                serve(work, context, _noted(tell, heard))
        except Cancelled:
            pass
        except Preempted:
            if leader:
                ray.get(job_queue.leaving.remote(worker_group))
            raise  # to return would mean that this worker group is finished: Ray starts it elsewhere
        tell({"kind": DONE})
        if work.last:
            return


def _noted(tell: Tell, heard: Callable[[], None]) -> Tell:
    def told(report: Report) -> bool:
        goes_on = tell(report)
        heard()
        return goes_on

    return told


def _refuse(job_queue: Any, worker_group: str, run: Storage) -> None:
    problem = f"{run.url} cannot be read on every node; give a --storage that all of them have"
    ray.get(job_queue.worker_group_broke.remote(worker_group, problem))


def _take(job_queue: Any, worker_group: str) -> Work | None:
    work: Work | None = ray.get(job_queue.take.remote(worker_group, ray.get_runtime_context().get_node_id()))
    return work


def _next_of_group(job_queue: Any, worker_group: str, leader: bool) -> Work | None:
    """Rank 0 takes a job off the job queue; the workers beside it look it up once they know that there is one."""
    import ray.train.collective

    work = _take(job_queue, worker_group) if leader else None
    if ray.train.get_context().get_world_size() == 1:
        return work
    there_is_one = ray.train.collective.broadcast_from_rank_zero(work is not None)
    return work if leader or not there_is_one else ray.get(job_queue.held.remote(worker_group))
