"""Inside a worker: whether a machine under it will be taken away, asked after every optimiser step."""

from __future__ import annotations

import os
import time

import ray

from sweep.core.ray_internals import draining_nodes

_TRAIN_LOOK_S = 0.25  # Train's answer is a message to another process: about a millisecond
_NODE_LOOK_S = 1.0  # the cluster's answer comes from the head
_LOOK_STEPS = 8  # among several workers, who must all look at the same step


def _watched() -> bool:
    return os.environ.get("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "1") != "0"


class NodeNotice:
    """For a worker by itself: whether its node is being drained. Once yes, always yes."""

    def __init__(self) -> None:
        self._node, self._watched = ray.get_runtime_context().get_node_id(), _watched()
        self._looked, self._said = 0.0, False

    def __call__(self) -> bool:
        """Whether to save and leave now."""
        if self._watched and not self._said and time.monotonic() - self._looked >= _NODE_LOOK_S:
            self._said, self._looked = self._node in draining_nodes(), time.monotonic()
        return self._said


class TrainNotice:
    """For a worker of a Train run: all workers of a group get the same answer at the same step. Once yes, always yes."""

    def __init__(self) -> None:
        import ray.train

        self._alone = ray.train.get_context().get_world_size() == 1
        self._asked, self._looked, self._watched = 0, 0.0, _watched()
        self._said = False

    def __call__(self) -> bool:
        """Whether to save and leave now."""
        if self._watched and not self._said and self._due():
            self._said = ray.train.get_preemption_info() is not None
        return self._said

    def _due(self) -> bool:
        if not self._alone:
            self._asked += 1
            return self._asked % _LOOK_STEPS == 1
        now = time.monotonic()
        due = now - self._looked >= _TRAIN_LOOK_S
        self._looked = now if due else self._looked
        return due
