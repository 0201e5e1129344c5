"""worker groups: Ray Train runs that serve jobs from the job queue until it closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from sweep.config.sweep_config import Resources
from sweep.execution.ray.nodes import HEAD
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
    """Start one Train run; the reference resolves when it has gone home."""
    return _serve_worker_group.remote(setup, name)


# "DEFAULT" keeps it out of the placement group of the Tune trial that may have started it, which has no room
# On the head, where Train puts the run's controller beside it: workers' machines come and go.
@ray.remote(num_cpus=0, resources=HEAD, max_retries=3, scheduling_strategy="DEFAULT")
def _serve_worker_group(setup: WorkerGroupSetup, name: str) -> None:
    """One worker group, in a task of its own because `fit` wants a main thread."""
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    from sweep.execution.ray.train_worker import train_worker

    resources = setup.resources
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={
            "job_queue": setup.job_queue,
            "worker_group": name,
            "run_url": setup.run_url,
            "images": setup.images,
            "memory_bytes": resources.memory_bytes,
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
            # the job queue counts deaths and preemptions per job, so that one poison trial cannot use up what the others may need
            failure_config=train.FailureConfig(max_failures=-1, max_preemption_failures=-1),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001
        ray.get(setup.job_queue.worker_group_broke.remote(name, str(error).strip().splitlines()[-1]))


def _backend(resources: Resources) -> str | None:
    """Ray's own choice, NCCL where there are GPUs, only for several workers on a GPU each: it refuses two of them on one."""
    return None if resources.workers > 1 and resources.gpus_per_worker >= 1 else "gloo"
