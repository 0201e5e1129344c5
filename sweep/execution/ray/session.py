"""Start or join Ray without its log lines, and compute how many trials fit on it at once.

Logical CPUs are bookkeeping: on one machine there are more of them than cores, so that trial drivers, train workers and data
reads never wait for each other in a ring. What really runs at once is bounded by `max_concurrent_trials` and one torch thread each.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sweep.config.sweep_config import Resources
from sweep.core.errors import InputError, first_line
from sweep.core.process_settings import KEEP_PAGES
from sweep.core.ray_internals import close_session_to_others, shorten_error_messages, start_data_actors
from sweep.core.stop_signals import raise_on_signals
from sweep.planning.capacity import Capacity, capacity_of, declared, of_types

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
    "RAY_prestart_worker_first_driver": "0",  # ray.init would wait for one idle worker per logical CPU: 4 s on two cores
    "RAY_worker_maximum_startup_concurrency": "16",  # the raylet warns on the terminal at four times this
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: it says how to resume
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the ledger is the truth; Tune's own snapshots are not read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    **KEEP_PAGES,
}
_START_PAUSES_S = (5.0, 20.0)
_LOST_HEAD = "Failed to connect to GCS"  # in messages of exceptions that have no class of their own
_LOGGERS = ("ray", "ray.data", "ray.train", "ray.tune", "ray.air")


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[Capacity]:
    """Start or join Ray, quietly; leaves no process behind when it started one.

    `address` is one that answers (`address.usable`), or None for a Ray of this machine's own. Raises InputError when one trial
    can never fit.
    """
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    import ray

    shorten_error_messages()
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address:
        _join(address, quiet)
    else:
        os.environ.setdefault(
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0"
        )  # one process less per worker group: this machine is not preempted
        os.environ.setdefault("RAY_worker_niceness", str(resources.niceness))
        _import_torch_meanwhile()
        _start(quiet)
    raise_on_signals()  # Ray has set a handler of its own
    _silence()
    try:
        yield _capacity(resources, local=not address)
    except Exception as error:
        if (reason := _failed_ray(error, address)) is not None:
            raise reason from error
        raise
    finally:
        ray.shutdown()


def _import_torch_meanwhile() -> None:
    """In a thread, while this one waits for Ray's processes.

    No daemon thread: a process that ends in the middle of a native import may abort.
    """
    threading.Thread(target=import_module, args=("torch",), name="import torch").start()


def _failed_ray(error: BaseException | None, address: str | None) -> InputError | None:
    """What a failure of Ray itself means, found in the chain of exceptions that Tune made of it; None for any other exception."""
    from ray import exceptions

    resume = "run the same command again, which resumes"
    while error is not None:
        if isinstance(error, InputError):
            return None  # the run folder's own reason
        if isinstance(error, (exceptions.ObjectStoreFullError, exceptions.OutOfDiskError)):
            return InputError(
                "Ray's object store",
                f"is full ({first_line(error, 200)})",
                f"make room in /dev/shm and in Ray's folder (/tmp/ray), or set data.loading: stream; then {resume}",
            )
        if isinstance(error, (exceptions.RpcError, exceptions.RaySystemError)) or _LOST_HEAD in str(error):
            return InputError(
                f"--address {address}" if address else "resources.engine: ray",
                f"the connection to Ray's head was lost ({first_line(error, 200)})",
                f"see whether the head still runs (python -m sweep.doctor); then {resume}",
            )
        error = error.__cause__ or error.__context__
    return None


def _start(quiet: Mapping[str, Any]) -> None:
    """Start a Ray of this machine's own, again after a pause where a busy machine does not let it start within Ray's own 30 s.

    Raises InputError when it does not start at all.
    """
    import ray

    for pause in (*_START_PAUSES_S, None):
        try:
            ray.init(address="local", num_cpus=max(8, 4 * (os.cpu_count() or 1)), include_dashboard=False, **quiet)
            close_session_to_others()
            return
        except Exception as failed:  # noqa: BLE001 - Ray raises a plain Exception here
            ray.shutdown()
            if pause is None:
                problem = f"Ray did not start in {len(_START_PAUSES_S) + 1} attempts ({first_line(failed)})"
                fix = "wait until this machine is less busy, look for room in /tmp, or set resources.engine: inline"
                raise InputError("resources.engine: ray", problem, fix) from None
            time.sleep(pause)


def _join(address: str, quiet: Mapping[str, Any]) -> None:
    import ray

    # processes of a cluster that already runs do not inherit this one's environment
    switches = {"env_vars": {name: os.environ[name] for name in _SWITCHES}}
    try:
        ray.init(address=address, runtime_env=switches, **quiet)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as refused:
        fix = "use the versions of requirements.lock and the cluster's token on both sides (RAY_AUTH_MODE=token); python -m sweep.doctor says more"
        raise InputError("--address", f"{address} cannot be joined ({first_line(refused)})", fix) from None
    start_data_actors()


def _silence() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet_ray_data() -> None:
    """Import Ray Data without its progress bars and log lines; it sets its loggers up when it is imported."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    _silence()


def _capacity(resources: Resources, local: bool) -> Capacity:
    from sweep.execution.ray.nodes import alive, node_types

    if local:
        import ray

        here = {"CPU": float(os.cpu_count() or 1), "GPU": ray.cluster_resources().get("GPU", 0.0)}
        return capacity_of(resources, [here], [], spare_cpus=0)
    types = node_types()
    to_come = declared(resources) or None if types is None else of_types(types)
    return capacity_of(resources, [node["Resources"] for node in alive()], to_come, spare_cpus=1)
