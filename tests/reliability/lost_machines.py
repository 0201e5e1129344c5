"""Machines of a Ray cluster that vanish or are drained under a sweep, and drivers that vanish from a cluster that stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from sweep.store.ledger import read_ledger
from tests.fakes.patience import patient
from tests.integration.cluster_view import View, left_on, watched
from tests.integration.head_node import Head, head_node
from tests.integration.test_preemption import drain
from tests.integration.worker_node import worker_node
from tests.reliability.rows import Row
from tests.reliability.sweeps import facts, output, start, undisturbed, waited

_FAULTS = 2  # of each case
_WAIT_S = patient(120)
LONG = """\
name: reliability
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 60}
grid: {lr: [0.001, 0.002]}
fixed: {backbone: small_cnn, epochs: 30, patience: 30, batch_size: 2, augment: none}
seeds: 1
resources: {engine: ray, max_concurrent_trials: 1, max_failures: 0}
"""


class Machines:
    """A head that trains nothing and worker nodes with two CPUs each, one of which is free whenever one is lost."""

    def __init__(self, head: Head, view: View, folder: Path) -> None:
        self.head, self.view, self._folder = head, view, folder
        self._nodes: dict[str, ExitStack] = {}
        self._count = 0

    def add(self) -> None:
        """Start one more node and wait until it is there."""
        before, self._count = set(self.view.last()), self._count + 1
        stack = ExitStack()
        stack.enter_context(worker_node(self.head, self._folder / f"node-{self._count}"))
        try:
            seen = self.view.wait_for(lambda nodes: set(nodes) - before, _WAIT_S)
        except BaseException:
            stack.close()
            raise
        self._nodes[(set(seen) - before).pop()] = stack

    def take_away(self, node: str) -> None:
        """End every process of a node at once."""
        self._nodes.pop(node).close()

    def close(self) -> None:
        """End all nodes."""
        for stack in self._nodes.values():
            stack.close()


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    """A cluster of two worker nodes until the block ends."""
    with head_node(folder, "--num-cpus", "0") as head, watched(head, folder) as view:
        view.wait_for(lambda nodes: len(nodes) == 1, _WAIT_S)
        cluster = Machines(head, view, folder)
        try:
            cluster.add()
            cluster.add()
            yield cluster
        finally:
            cluster.close()


def _under(folder: Path, times: int, disturb: Callable[[Machines, str], None]) -> list[tuple]:
    """Run the sweep while its machine is disturbed so often; its records are those of the undisturbed one. The epochs in their order."""
    expected = facts(undisturbed(LONG))
    with machines(folder) as cluster:
        child = start(folder, LONG, lambda: os.environ.update(cluster.head.variables), cluster.head.address)
        try:
            for count in range(times):
                seen = cluster.view.wait_for(lambda nodes: any(nodes.values()), _WAIT_S)
                home = next(node for node, workers in seen.items() if workers)
                _wait_for_an_epoch(folder, child, f"{count} times")
                disturb(cluster, home)
                cluster.view.wait_for(lambda nodes, home=home: not nodes.get(home), _WAIT_S)
                cluster.add()
            assert waited(child) == 0, output(folder)[-2000:]
        finally:
            with_children = [psutil.Process(child)] if psutil.pid_exists(child) else []
            for process in with_children:
                process.kill()
    said = output(folder)
    assert "Traceback" not in said and "[state-dump]" not in said, said[:2000]
    assert not read_ledger(folder / "run").failed()
    assert facts(folder / "run") == expected, "records differ from those of the undisturbed sweep"
    return [(event["signature"], event["epoch"]) for event in read_ledger(folder / "run").of_kind("epoch")]


def _wait_for_an_epoch(folder: Path, child: int, when: str) -> None:
    def epochs() -> int:
        return len(read_ledger(folder / "run").of_kind("epoch"))

    seen, deadline = epochs(), time.monotonic() + _WAIT_S
    while epochs() == seen:
        assert psutil.Process(child).status() != psutil.STATUS_ZOMBIE, (
            f"ended, disturbed {when}: {output(folder)[-1500:]}"
        )
        assert time.monotonic() < deadline, output(folder)[-2000:]
        time.sleep(0.05)


def lost_machines(number: int, folder: Path) -> None:
    """Twice the machine that trains vanishes without notice."""
    _under(folder, _FAULTS, lambda cluster, home: cluster.take_away(home))


def drained_machines(number: int, folder: Path) -> None:
    """Twice the machine that trains is drained with notice and then taken away: no epoch is trained twice."""

    def notice_then_loss(cluster: Machines, home: str) -> None:
        drain(cluster.head, home)
        cluster.view.wait_for(lambda nodes: not nodes.get(home), _WAIT_S)
        cluster.take_away(home)

    epochs = _under(folder, _FAULTS, notice_then_loss)
    assert len(epochs) == len(set(epochs)), "an epoch was trained twice"


_JOINED = LONG.replace("epochs: 30, patience: 30", "epochs: 6")
_GONE_S = 60


def killed_driver_on_a_cluster(number: int, folder: Path) -> None:
    """The driver of a sweep that joined a cluster is killed with -9: the cluster is free of it, and the same command completes.

    The first case trains each trial in one process, the second one with two workers, which is a Train run.
    """
    workers = str(1 + number % 2)
    with head_node(folder, "--num-cpus", "8") as head:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=head.variables["RAY_AUTH_TOKEN"])

        def begin() -> int:
            return start(
                folder,
                _JOINED,
                lambda: os.environ.update(head.variables),
                head.address,
                resources__workers=workers,
                resources__max_failures="2",
            )

        child = begin()
        _wait_for_an_epoch(folder, child, "never")
        os.kill(child, signal.SIGKILL)
        waited(child)
        deadline = time.monotonic() + patient(_GONE_S)
        while left := left_on(head):
            assert time.monotonic() < deadline, f"still there {_GONE_S} s later: {left}"
            time.sleep(2)
        assert waited(begin()) == 0, output(folder)[-2000:]
        assert not left_on(head), f"left after success: {left_on(head)}"
    reading = read_ledger(folder / "run")
    assert len(reading.finished()) == 2 and not reading.failed()


ROWS = (
    Row(
        "R3",
        "raylets lost without notice, one after another under one sweep: bit-equal, at no cost to max_failures",
        10,
        0,
        400,
        lost_machines,
        faults=_FAULTS,
    ),
    Row(
        "R4",
        "spot drains with notice, one after another under one sweep: bit-equal, no epoch trained twice",
        5,
        0,
        400,
        drained_machines,
        faults=_FAULTS,
    ),
    Row(
        "R14-joined",
        "driver killed on a cluster that stays (1 and 2 workers): nothing of it left within 60 s, then resumed",
        2,
        0,
        400,
        killed_driver_on_a_cluster,
    ),
)
