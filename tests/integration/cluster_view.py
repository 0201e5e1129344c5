"""What a running Ray has, asked from a process of its own: a test joins no cluster itself. Run with the two addresses of a head: one JSON line a second."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.head_node import Head
from tests.integration.sweep_process import REPOSITORY


@dataclass
class View:
    """What was seen so far: each entry maps the ids of living nodes to the number of train workers on them."""

    log: Path
    seen: list[dict[str, int]] = field(default_factory=list)

    def wait_for(self, condition, timeout_s: float) -> dict[str, int]:
        """The next entry that `condition` holds for."""
        deadline, begin = time.monotonic() + timeout_s, len(self.seen)
        while time.monotonic() < deadline:
            for entry in self.seen[begin:]:
                if condition(entry):
                    return entry
            time.sleep(0.2)
        raise AssertionError(f"not seen within {timeout_s} s; last: {self.seen[-1:]}; {self.log.read_text()[-500:]}")

    def last(self) -> dict[str, int]:
        """The newest entry; empty while there is none."""
        return self.seen[-1] if self.seen else {}


_STAYS = ("AutoscalingCoordinator", "StatsActor")  # Ray Data's own, one of each for all sweeps of a cluster


def left_on(head: Head) -> list[str]:
    """Living actors by class, and placement groups that are not removed; without those that stay for the next sweep."""
    command = [sys.executable, __file__, "--left", head.dashboard]
    done = subprocess.run(
        command,
        env=head.variables | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    return [name for name in found if not any(stays in name for stays in _STAYS)]


@contextmanager
def watched(head: Head, home: Path) -> Iterator[View]:
    """Look at the cluster once a second until the block ends."""
    view = View(home / "view.log")
    command = [sys.executable, __file__, head.address, head.dashboard]
    with open(view.log, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=head.variables | {"PYTHONPATH": str(REPOSITORY)}
        )
    # Ray prints to the same place when a node is lost
    reader = threading.Thread(
        target=lambda: view.seen.extend(json.loads(line) for line in process.stdout if line.startswith("{")),
        daemon=True,
    )
    reader.start()
    try:
        yield view
    finally:
        process.kill()
        process.wait(timeout=10)


def _look(address: str, dashboard: str) -> None:
    import ray
    from ray.util.state import list_actors, list_tasks

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    while True:
        alive = {node["NodeID"]: 0 for node in ray.nodes() if node["Alive"]}
        for actor in list_actors(address=dashboard, filters=[("state", "=", "ALIVE")], limit=1000):
            if "TrainWorker" in actor.class_name and actor.node_id in alive:
                alive[actor.node_id] += 1
        running = [("name", "=", "_serve_alone"), ("state", "=", "RUNNING")]  # worker groups of one worker
        for task in list_tasks(address=dashboard, filters=running, limit=1000):
            if task.node_id in alive:
                alive[task.node_id] += 1
        sys.stdout.write(json.dumps(alive) + "\n")
        sys.stdout.flush()
        time.sleep(1)


def _left(dashboard: str) -> None:
    from ray.util.state import list_actors, list_placement_groups

    actors = [one.class_name for one in list_actors(address=dashboard, limit=1000) if one.state != "DEAD"]
    groups = list_placement_groups(address=dashboard, limit=1000)
    held = [f"placement group {one.state}" for one in groups if one.state != "REMOVED"]
    sys.stdout.write(json.dumps(sorted(actors + held)) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--left":
        _left(sys.argv[2])
    else:
        _look(*sys.argv[1:])
