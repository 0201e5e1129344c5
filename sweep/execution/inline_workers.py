"""Where the inline engine's tasks run: in this process, or in subprocesses that hold one task each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO

import torch

import sweep
from sweep.core.process_settings import KEEP_PAGES, as_a_worker
from sweep.data.datasets import Data
from sweep.execution.inline_tasks import (
    Handler,
    InlineSetup,
    Lost,
    Task,
    context_of,
    decoded_domains,
    run_task,
    save_domains,
)
from sweep.execution.inline_worker import SAID
from sweep.execution.job import ACTIVITY, Report, Said
from sweep.execution.launch import Launch
from sweep.execution.mps import shared_gpu
from sweep.execution.worker_limits import WorkerLimits
from sweep.execution.worker_loop import WorkerContext

_END_S = 10  # for a worker process to end once its pipe is closed


@contextmanager
def workers_of(launch: Launch, data: Data, count: int) -> Iterator[InProcess | Subprocesses]:
    """This process for one trial at a time, else `count` subprocesses; nothing of them is left afterwards.

    A memory or time limit that the sweep config sets needs a subprocess too, which can be ended alone.
    """
    resources = launch.resources
    gpus = resources.gpus_per_worker
    threads = resources.threads
    held = decoded_domains(data)
    if count == 1 and not resources.limits_asked:
        setup = InlineSetup(launch.run_url, None, gpus > 0, threads)
        with as_a_worker(threads):
            yield InProcess(context_of(setup, held), threads)
        return
    with tempfile.TemporaryDirectory(prefix="recipe-finder-") as folder:
        if held is not None:
            save_domains(held, folder)
        images = None if held is None else folder
        limits = WorkerLimits.of(resources)
        setup = InlineSetup(launch.run_url, images, gpus > 0, threads, limits, resources.niceness)
        with shared_gpu(0 < gpus < 1 and count > 1) as variables:
            workers = Subprocesses(setup, [_gpus_of(place, gpus) for place in range(count)], Path(folder), variables)
            try:
                yield workers
            finally:
                workers.end()


def _gpus_of(place: int, gpus: float) -> str | None:
    """CUDA_VISIBLE_DEVICES of the worker at a place; several share a GPU where each asks for a part of one. None: as they are."""
    if not gpus:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    first = int(place * gpus + 1e-9)
    return ",".join(names[first : first + max(1, int(gpus))])


class InProcess:
    """Runs one task at a time in this process: `start` returns when it is over."""

    free = 1

    def __init__(self, context: WorkerContext, threads: int) -> None:
        self._context, self._threads = context, threads

    def start(self, task: Task, handler: Handler) -> None:
        """Run a task to its end."""

        def tell(report: Report) -> bool:
            return handler(task.number, report)

        run_task(task, self._context, tell, self._threads, tell)

    def wait(self, handler: Handler) -> None:
        """Nothing runs in between."""


class _Process:
    """One worker process, its pipe and the task that it runs."""

    def __init__(self, setup: InlineSetup, gpus: str | None, log: IO[bytes], variables: Mapping[str, str]) -> None:
        ours, theirs = Pipe()
        self.pipe: Connection = ours
        self.task: Task | None = None
        self.said: Said | None = None
        self._log = log
        root = str(Path(sweep.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **KEEP_PAGES, **variables, "PYTHONPATH": path}
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpus
        command = [sys.executable, "-m", "sweep.execution.inline_worker", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        theirs.close()
        self._send(setup)

    def run(self, task: Task) -> None:
        self.task = task
        self._send(task)

    def answer(self, goes_on: bool) -> None:
        self._send(goes_on)

    def lost(self) -> Lost:
        """How the process ended."""
        code = self.process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
        return Lost(how + (f" ({last[0][:200]})" if last else ""), self.said)

    def end(self) -> None:
        self.pipe.close()
        if self.task is not None and self.process.poll() is None:
            self.process.kill()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def _send(self, message: object) -> None:
        with suppress(OSError):  # it has died: its pipe is at its end, which `wait` finds
            self.pipe.send(message)


class Subprocesses:
    """One task per process; a process that dies is replaced when the next task comes."""

    def __init__(
        self, setup: InlineSetup, gpus: list[str | None], folder: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        self._setup, self._gpus, self._folder, self._variables = setup, gpus, folder, variables or {}
        self._places: list[_Process | None] = [None] * len(gpus)

    @property
    def free(self) -> int:
        """Processes without a task, those not started yet included."""
        return sum(one is None or one.task is None for one in self._places)

    def start(self, task: Task, handler: Handler) -> None:
        """Hand a task to a process that has none, starting one where none is left."""
        place = next(
            (place for place, one in enumerate(self._places) if one is not None and one.task is None),
            next(place for place, one in enumerate(self._places) if one is None or one.task is None),
        )
        process = self._places[place]
        if process is None:
            log = open(self._folder / f"worker-{place}.log", "w+b")  # noqa: SIM115 - closed with the process
            process = self._places[place] = _Process(self._setup, self._gpus[place], log, self._variables)
        process.run(task)

    def wait(self, handler: Handler) -> None:
        """Handle what has arrived from the processes that hold a task; blocks until something has."""
        busy = {one.pipe: place for place, one in enumerate(self._places) if one is not None and one.task is not None}
        for pipe in wait(list(busy)):
            self._receive(busy[pipe], handler)  # type: ignore[index]

    def end(self) -> None:
        """End every process, also one that runs a task."""
        for one in self._places:
            if one is not None:
                one.end()

    def _receive(self, place: int, handler: Handler) -> None:
        process = self._places[place]
        assert process is not None and process.task is not None
        try:
            number, report = process.pipe.recv()
        except (EOFError, OSError):
            self._places[place] = None
            number, lost = process.task.number, process.lost()
            process.task = None
            process.end()
            handler(number, lost)
            return
        if SAID in report:
            process.said = report[SAID]
            return
        if report.get("kind") == ACTIVITY:  # which waits for no answer
            handler(number, report)
            return
        if report.get("kind") in (None, "done"):  # a stage's one report, or a job's last one
            process.task = None
        process.answer(handler(number, report))
