"""Ray started quiet and unable to starve itself; what a trial may ask of the cluster that is there.

Logical CPUs are bookkeeping: on one machine there are more of them than cores, so that trial drivers, train workers and data
reads never wait for each other in a ring. What really runs at once is bounded by `max_concurrent_trials` and one torch thread each.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sweep.core.errors import InputError
from sweep.question import Resources

_SWITCHES = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # the controller takes one report per interval; its default is 2 s
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1800",  # nodes may still be booting
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",  # of the 30 s that some clouds give, 5 are too many to wait for the news
    "RAY_DATA_USE_DATASOURCE_V2": "0",  # V2 asks for 32 footer readers per epoch: 1.5-11 s against 0.4 s
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_infeasible_task_early_exit": "true",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_maximum_startup_concurrency": "16",  # the raylet warns on the terminal at four times this
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: it says how to resume
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the ledger is the truth; Tune's own snapshots are not read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # glibc gives freed blocks back to the system at once by default; every batch then faults its pages in again
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967295",
    "MALLOC_TOP_PAD_": "67108864",
}
_LOGGERS = ("ray", "ray.data", "ray.train", "ray.tune", "ray.air")


@dataclass(frozen=True)
class Capacity:
    """What the cluster offers, and how many trials that makes at once."""

    cpus: float
    gpus: float
    concurrent_trials: int


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[Capacity]:
    """Start or join Ray, quietly; leaves no process behind when it started one.

    `address` is one that answers (`address.usable`), or None for a Ray of this machine's own. Raises InputError when one trial
    can never fit.
    """
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address:
        ray.init(address=address, **quiet)
    else:
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # one process less per slot: nobody takes this machine away
        cores = os.cpu_count() or 1
        ray.init(address="local", num_cpus=max(8, 4 * cores), include_dashboard=False, **quiet)
    _silence()
    try:
        yield _capacity(resources, local=not address)
    finally:
        ray.shutdown()


def _silence() -> None:
    import ray.data  # sets its loggers up when imported, so they are turned down after that

    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def _capacity(resources: Resources, local: bool) -> Capacity:
    import ray

    total = ray.cluster_resources()
    cpus = float(os.cpu_count() or 1) if local else total.get("CPU", 0.0)
    gpus = total.get("GPU", 0.0)
    fitting = _fitting(resources, cpus, gpus, local)
    if fitting < 1 and not local and resources.max_concurrent_trials:
        return Capacity(cpus, gpus, resources.max_concurrent_trials)  # said by hand: an autoscaler will bring the nodes
    if fitting < 1:
        raise InputError(
            "resources",
            f"one trial asks for {_asked(resources)}; the cluster has {cpus:g} CPUs and {gpus:g} GPUs"
            + ("" if local else " (one CPU is kept for reading data)"),
            "ask for less, add nodes, or set resources.max_concurrent_trials where an autoscaler adds them",
        )
    return Capacity(cpus, gpus, min(fitting, resources.max_concurrent_trials or fitting))


def _fitting(resources: Resources, cpus: float, gpus: float, local: bool) -> int:
    """Trials at once: on a cluster one CPU stays free for data reads; alone on a machine logical CPUs see to that."""
    free = cpus if local else cpus - 1
    by_cpu = math.floor(free / (resources.workers * resources.cpus_per_worker))
    if not resources.gpus_per_worker:
        return by_cpu
    return min(by_cpu, math.floor(gpus / (resources.workers * resources.gpus_per_worker)))


def _asked(resources: Resources) -> str:
    asked = f"{resources.workers * resources.cpus_per_worker:g} CPUs"
    return asked + (f" and {resources.workers * resources.gpus_per_worker:g} GPUs" if resources.gpus_per_worker else "")
