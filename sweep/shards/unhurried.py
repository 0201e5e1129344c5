"""Ray Data's scheduler, told to draw breath: an interface of Ray's own that is not public yet (2.60).

While what was read ahead waits for a slow reader, the scheduler asks again at once whether it may hand it on, in a thread of the process
that trains: it takes a whole core and the interpreter's lock with it. A pause a step leaves a few hundredths of that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    import ray.data

PAUSE_S = 0.02  # a task reads for longer than that


class DrawBreath(ExecutionCallback):
    """A pause after every step of the scheduler."""

    def on_execution_step(self, executor: object) -> None:
        """Called by Ray Data between two looks at its tasks."""
        time.sleep(PAUSE_S)


def unhurried(rows: ray.data.Dataset) -> ray.data.Dataset:
    """The data set, whose execution will pause between two steps."""
    rows.context.custom_execution_callback_classes = [*rows.context.custom_execution_callback_classes, DrawBreath]
    return rows
