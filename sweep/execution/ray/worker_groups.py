"""Worker groups: what serves jobs from the job queue until it closes. One worker is a Ray task; several together are a Ray Train run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from sweep.config.sweep_config import Resources
from sweep.execution.ray.nodes import HEAD
from sweep.execution.worker_limits import WorkerLimits
from sweep.execution.worker_loop import Preempted
from sweep.planning.capacity import per_worker

TRAIN_FOLDER = "ray/train"


@dataclass(frozen=True)
class WorkerGroupSetup:
    """What every worker group is started with."""

    run_url: str
    resources: Resources
    attempt: int
    images: Any
    job_queue: Any


def start_worker_group(setup: WorkerGroupSetup, name: str) -> ray.ObjectRef:
    """Start one worker group; the reference resolves when it has ended.

    A Train run costs five processes beside its workers (controller, clean-up, synchronisation, data manager, the task that calls `fit`),
    each of which imports Ray and some torch. One worker that serves many jobs needs none of them.
    """
    resources = setup.resources
    if resources.workers > 1 or not resources.reuse_workers:
        return _serve_as_train_run.remote(setup, name)
    asked = per_worker(resources)
    options = {"num_cpus": asked["CPU"], "num_gpus": asked.get("GPU", 0), "memory": asked.get("memory")}
    return _serve_alone.options(**options).remote(setup, name)


# Ray runs it again, elsewhere if need be, when its process or machine is lost or it leaves a machine that will be taken away; the job queue
# counts that per job. "DEFAULT" keeps it out of the placement group of the Tune trial that may have started it, which has no room.
@ray.remote(max_retries=-1, retry_exceptions=[Preempted], scheduling_strategy="DEFAULT")
def _serve_alone(setup: WorkerGroupSetup, name: str) -> None:
    from sweep.execution.ray.serve_jobs import serve_alone

    serve_alone(setup.job_queue, name, setup.run_url, setup.images, WorkerLimits.of(setup.resources))


# On the head, where Train puts the run's controller beside it: workers' machines come and go.
@ray.remote(num_cpus=0, resources=HEAD, max_retries=3, scheduling_strategy="DEFAULT")
def _serve_as_train_run(setup: WorkerGroupSetup, name: str) -> None:
    """A Train run, in a task of its own because `fit` wants a main thread."""
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    from sweep.core.ray_internals import end_cleaners_with_their_runs
    from sweep.execution.ray.serve_jobs import train_worker

    end_cleaners_with_their_runs()
    resources = setup.resources
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={
            "job_queue": setup.job_queue,
            "worker_group": name,
            "run_url": setup.run_url,
            "images": setup.images,
            "limits": WorkerLimits.of(resources),
        },
        torch_config=TorchConfig(backend=_backend(resources)),
        scaling_config=train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker(resources),
        ),
        run_config=train.RunConfig(
            name=f"{setup.attempt:04d}-{name}",
            storage_path=f"{setup.run_url}/{TRAIN_FOLDER}",
            # the job queue counts deaths and preemptions per job, so that one failing trial cannot use up the retries of the others
            failure_config=train.FailureConfig(max_failures=-1, max_preemption_failures=-1),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001 - whatever ended the run is the reason that its jobs are told
        ray.get(setup.job_queue.worker_group_broke.remote(name, str(error).strip().splitlines()[-1]))


def _backend(resources: Resources) -> str | None:
    """Ray's own choice, NCCL where there are GPUs, only for several workers on a GPU each: it refuses two of them on one."""
    return None if resources.workers > 1 and resources.gpus_per_worker >= 1 else "gloo"
