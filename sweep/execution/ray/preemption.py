"""Inside a Train worker: has somebody said that a machine of this group will be taken away?"""

from __future__ import annotations

import os
import time

import ray.train

_LOOK_S = 0.25  # a look is a message to another process: about a millisecond
_LOOK_STEPS = 8  # among several workers, who must all look at the same step


class Notice:
    """Asked after every step; once it says yes it stays so. All workers of a group get the same answer at the same step."""

    def __init__(self) -> None:
        self._alone = ray.train.get_context().get_world_size() == 1
        self._watched = os.environ.get("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "1") != "0"
        self._asked, self._looked = 0, 0.0
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
        due = now - self._looked >= _LOOK_S
        self._looked = now if due else self._looked
        return due
