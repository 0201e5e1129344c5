"""The entry point of every Train worker: the images once, then jobs from the job queue, one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import ray
import ray.train
import ray.train.collective

from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data
from sweep.execution.job import DONE, Report, Work
from sweep.execution.memory_limit import MemoryGuard
from sweep.execution.ray.preemption import Notice
from sweep.execution.ray.shared_images import SharedImages, folds_of
from sweep.execution.worker_loop import Cancelled, Preempted, WorkerContext, serve


def train_worker(config: Mapping[str, Any]) -> None:
    """`config`: job queue (actor), worker group (name), run_url, images, memory_bytes or None."""
    from sweep.training.workers import agreed

    job_queue, worker_group, run = config["job_queue"], config["worker_group"], Storage(config["run_url"])
    if not agreed(run.exists(CARD_FILE)):
        problem = f"{run.url} cannot be read on every node; give a --storage that all of them have"
        ray.get(job_queue.worker_group_broke.remote(worker_group, problem))
        return
    _serve_jobs(job_queue, worker_group, _context(run, config["images"]), config["memory_bytes"])


def _context(run: Storage, images: SharedImages) -> WorkerContext:
    import torch

    data = Data.load(run)
    device = str(ray.train.torch.get_device()) if torch.cuda.is_available() else "cpu"
    return WorkerContext(run, data, folds_of(data, images), device, Notice())


def _serve_jobs(job_queue: Any, worker_group: str, context: WorkerContext, memory_bytes: float | None) -> None:
    leader = ray.train.get_context().get_world_rank() == 0
    while (work := _next_job(job_queue, worker_group, leader)) is not None:

        def tell(report: Report, signature: str = work.trial.signature) -> bool:
            return ray.get(job_queue.report.remote(worker_group, signature, report)) if leader else True

        try:
            with _memory_guard(memory_bytes, job_queue, worker_group):
                serve(work, context, tell)
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
    """Rank 0 takes a job off the job queue; the workers beside it look it up once they know that there is one."""
    work = ray.get(job_queue.take.remote(worker_group, ray.get_runtime_context().get_node_id())) if leader else None
    if ray.train.get_context().get_world_size() == 1:
        return work
    there_is_one = ray.train.collective.broadcast_from_rank_zero(work is not None)
    return work if leader or not there_is_one else ray.get(job_queue.held.remote(worker_group))
