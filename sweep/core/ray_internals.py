"""Every interface of Ray that is not public and is used here; measured and tested on Ray 2.60.

Ray is imported inside the functions, so this module loads without it. tests/unit/core/test_ray_internals.py has one test per symbol:
a Ray release that moves one fails there first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ray.data

THROTTLE_PAUSE_S = 0.02  # shorter than a read task takes
_MESSAGE_LETTERS = 200


def throttled(rows: ray.data.Dataset) -> ray.data.Dataset:
    """The data set with a pause after every step of Ray Data's scheduler.

    While prefetched blocks wait for a slow reader, the scheduler polls without a pause in a thread of the training process: it takes a whole
    core and holds the interpreter lock. With the pause it takes a few per cent of a core.
    """
    rows.context.custom_execution_callback_classes = [*rows.context.custom_execution_callback_classes, throttle_class()]
    return rows


@cache
def throttle_class() -> type:
    """The callback that pauses: a subclass of Ray Data's ExecutionCallback."""
    from ray.data._internal.execution.execution_callback import ExecutionCallback

    class Throttle(ExecutionCallback):
        def on_execution_step(self, executor: object) -> None:
            """Called by Ray Data between two scheduling steps."""
            time.sleep(THROTTLE_PAUSE_S)

    return Throttle


def close_session_to_others() -> None:
    """Take the rights of other users from the session folder of the Ray that this process started; Ray gives it to everybody (0777).

    It holds the sockets of the daemons, logs and runtime environments.
    """
    import ray._private.worker

    node = ray._private.worker._global_node
    if node is not None and node.head:
        Path(node.get_session_dir_path()).chmod(0o700)


def shorten_error_messages() -> None:
    """Of each error message that Ray prints in a driver keep the first sentence; print none about a task that is run again.

    Otherwise a drained machine shows the traceback of the task that left it, and a lost one twenty lines of its daemon's log.
    """
    import ray._private.worker as module

    show = module.print_to_stdstream
    if show.__name__ == "shortened":
        return

    def shortened(data: dict[str, Any], ignore_prefix: bool) -> None:
        if data.get("pid") == "raylet":
            data = {**data, "lines": [short for line in data["lines"] if (short := _first_sentence(line))]}
        if data["lines"]:
            show(data, ignore_prefix)

    module.print_to_stdstream = shortened


def _first_sentence(message: str) -> str:
    return "" if "will be retried" in message else message.strip().split("\n")[0].split(". ")[0][:_MESSAGE_LETTERS]


def end_cleaners_with_their_runs() -> None:
    """For the Train runs of this process: let the detached clean-up actor end once the controller of its run was killed.

    It calls `exit_actor` in a thread of its own, which ends that thread alone; the actor would stay for as long as the cluster.
    """
    from ray.train.v2._internal.callbacks import placement_group_callback as module
    from ray.train.v2.api import data_parallel_trainer

    class Cleaner(module.PlacementGroupCleaner):
        def _exit(self) -> None:
            if threading.current_thread() is self._monitor_thread:
                os._exit(0)
            super()._exit()

    class CleanerCallback(module.PlacementGroupCleanerCallback):
        def after_controller_start(self, train_run_context: Any) -> None:
            """In the controller, which starts the actor."""
            module.PlacementGroupCleaner = Cleaner
            super().after_controller_start(train_run_context)

    data_parallel_trainer.PlacementGroupCleanerCallback = CleanerCallback


def start_data_actors() -> None:
    """Create Ray Data's detached helper actors on this node.

    They stay for ever on the node that uses Ray Data first, which an autoscaler can then never release.
    """
    from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
        get_or_create_autoscaling_coordinator,
    )
    from ray.data._internal.stats import get_or_create_stats_actor

    get_or_create_stats_actor()
    get_or_create_autoscaling_coordinator()


def draining_nodes() -> Mapping[str, Any]:
    """Ids of the nodes that are being drained."""
    from ray._private.state import state

    return state.get_draining_nodes()


def autoscaler_node_groups() -> list[tuple[dict[str, float], int]] | None:
    """Resources and largest count (-1: any) of what the autoscaler may start; None where it has told Ray nothing."""
    from ray._private.state import state

    config = state.get_cluster_config()
    if config is None or not config.node_group_configs:
        return None
    return [(dict(group.resources), group.max_count) for group in config.node_group_configs]


def validate_launcher_file(tree: dict[str, Any]) -> None:
    """Ray's own check of a cluster launcher file; raises whatever Ray raises.

    prepare_config comes first: validate_config alone raises on every file.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(tree))


def package_folder(folder: Path, package: Path) -> None:
    """Write the archive that `ray job submit --working-dir` would upload."""
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import create_package

    create_package(str(folder), package, include_gitignore=True, excludes=get_runtime_env_default_excludes())


def azure_template() -> Path:
    """The ARM template of virtual machines in Ray's wheel."""
    import ray.autoscaler

    return Path(ray.autoscaler.__file__).parent / "_private" / "_azure" / "azure-vm-template.json"
