"""A worker process of the inline engine: `python -m sweep.execution.inline_worker FD`, FD its end of a pipe to the engine.

Messages are pickled by multiprocessing between two processes of the same user. From the engine: the setup, then tasks, and after each
report whether the task goes on. To the engine: (number of the task, report).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing.connection import Connection

from sweep.execution.inline_tasks import InlineSetup, Task, context_of, mapped_domains, run_task
from sweep.execution.job import Report
from sweep.execution.memory_limit import MemoryGuard

OVER_MEMORY = "over_memory"  # key of the last message of a process that ends itself
_LOOK_S = 0.2


class _Pipe:
    """The worker's end: reports are answered, and a second thread may write the last message."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._sending = connection, threading.Lock()

    def next_task(self) -> Task | None:
        try:
            task: Task | None = self._connection.recv()
        except EOFError:
            return None
        return task

    def ask(self, number: int, report: Report) -> bool:
        """Send a report and wait for the answer; ends this process when the engine is gone."""
        self.send(number, report)
        try:
            return bool(self._connection.recv())
        except EOFError:
            os._exit(0)

    def send(self, number: int, report: Report) -> None:
        with self._sending:
            self._connection.send((number, report))


def main(descriptor: int) -> None:
    """Run tasks until the engine closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the engine ends its workers
    _end_with_parent()
    connection = Connection(descriptor)
    setup: InlineSetup = connection.recv()
    os.nice(setup.niceness)
    context = context_of(setup, None if setup.images is None else mapped_domains(setup.images))
    pipe = _Pipe(connection)
    while (task := pipe.next_task()) is not None:
        number = task.number
        with _memory_guard(setup.memory_bytes, pipe, number):
            run_task(task, context, partial(pipe.ask, number), setup.threads)


def _memory_guard(most_bytes: float | None, pipe: _Pipe, number: int) -> AbstractContextManager[object]:
    if most_bytes is None:
        return nullcontext()
    return MemoryGuard(most_bytes, lambda text: pipe.send(number, {OVER_MEMORY: text}))


def _end_with_parent() -> None:
    """End this process when the engine's ends without a word: a long attack or generator does not look at the pipe."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
