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
from multiprocessing.connection import Connection

from sweep.execution.inline_tasks import InlineSetup, StageTask, Task, context_of, mapped_domains, run_task
from sweep.execution.job import Report
from sweep.execution.worker_limits import limited
from sweep.execution.worker_loop import WorkerContext

SAID = "said"  # key of the last message of a process that ends itself: class and reason
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
        _run_limited(task, context, setup, pipe)


def _run_limited(task: Task, context: WorkerContext, setup: InlineSetup, pipe: _Pipe) -> None:
    limits = setup.limits.of_a_stage if isinstance(task.content, StageTask) else setup.limits
    with limited(limits, lambda said: pipe.send(task.number, {SAID: said})) as heard:

        def tell(report: Report) -> bool:
            goes_on = pipe.ask(task.number, report)
            heard()
            return goes_on

        run_task(task, context, tell, setup.threads, lambda report: pipe.send(task.number, report))


def _end_with_parent() -> None:
    """End this process when the engine's is killed: a long attack or generator does not look at the pipe."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
