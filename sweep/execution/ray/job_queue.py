"""The job queue: trials put jobs on it, worker groups take them off, reports travel back.

A worker group is one long-lived Ray Train run; torch is imported and the data read once for all the trials that it serves. Slots are
started when jobs wait and go home when none do, where others could use what they hold. A job that raises does not end its worker group; a job whose process or machine goes away is given again, to whichever worker group asks next, until its
budget for that is spent. Faults and preemptions have budgets of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray

from sweep.execution.job import DONE, FAULT, PREEMPTION, Losses, Report, Work
from sweep.execution.ray.nodes import HEAD, is_leaving


@dataclass(eq=False)
class Job:
    """One submission of a trial: a later one of the same signature is another job with a mailbox of its own."""

    work: Work
    losses: Losses
    mail: asyncio.Queue[Report] = field(default_factory=asyncio.Queue)
    cancelled: bool = False

    @property
    def signature(self) -> str:
        return self.work.trial.signature


@dataclass
class WorkerGroup:
    """What the job queue knows of one worker group."""

    node: str = ""
    job: Job | None = None
    of_one_job: bool = False
    gone: bool = False
    over_memory: str | None = None  # what its worker said before it ended itself


@ray.remote(num_cpus=0, resources=HEAD)  # on the head: workers' machines come and go
class JobQueue:
    """Jobs in the order of their submission. Every method is a coroutine: nobody blocks anybody."""

    def __init__(self, max_failures: int, max_preemptions: int) -> None:
        self._limits = {FAULT: max_failures, PREEMPTION: max_preemptions}
        self._waiting: list[Job] = []
        self._present: dict[str, Job] = {}  # by signature: the one whose reports are asked for
        self._worker_groups: dict[str, WorkerGroup] = {}
        self._leaving: set[str] = set()  # nodes that will be taken away
        self._closed = False
        self._start: Callable[[str], Any] | None = None
        self._runs: list[Any] = []  # what starting a worker group returned: resolves when it has gone home
        self._most = 0
        self._idle_s: float | None = None
        self._broken: list[str] = []
        self._news = asyncio.Condition()

    async def open(
        self, start: Callable[[str], Any], most: int, idle_s: float | None = None, eager: bool = False
    ) -> None:
        """How a worker group is started, how many there may be at once, and how long one may wait for a job before it goes home.

        When as many as there may be break, waiting jobs fail instead of waiting for ever. `eager` starts all of them now, unless
        idle ones would be sent home.
        """
        self._start, self._most, self._idle_s = start, most, idle_s
        for _ in range(most if eager and idle_s is None else 0):
            self._start_worker_group(f"group-{len(self._runs)}")

    async def submit(self, work: Work) -> None:
        """Put a trial's job on the job queue; one that the same trial still has there is dropped."""
        job = Job(work, Losses(self._limits))
        await self.cancel(job.signature)
        self._present[job.signature] = job
        self._waiting.append(job)
        self._serve_waiting()
        await self._tell()

    async def take(self, worker_group: str, node: str = "") -> Work | None:
        """The next job for a worker group on a node, waiting for one; None when the job queue is closed.

        A worker group that asks while it still holds a job has lost its process under that job. Nothing is given to a node that leaves.
        """
        mine = self._worker_groups.setdefault(worker_group, WorkerGroup())
        self._put_back(mine)
        mine.node = node
        if is_leaving(node):
            self._leaving.add(node)
        self._serve_waiting()
        async with self._news:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._news.wait_for(lambda: self._closed or self._next(worker_group) is not None), self._idle_s
                )
            if self._closed or self._next(worker_group) is None:
                mine.gone = True
                return None
            mine.job = self._next(worker_group)
            self._waiting.remove(mine.job)
        return mine.job.work

    async def held(self, worker_group: str) -> Work:
        """The job that a worker group has taken, for the workers beside the one that took it."""
        return self._worker_groups[worker_group].job.work

    async def report(self, worker_group: str, signature: str, report: Report) -> bool:
        """Hand one report to the trial; False tells the worker group to drop the job."""
        job = self._worker_groups[worker_group].job
        if job is None or job.signature != signature:
            return False
        job.mail.put_nowait(report)
        if report["kind"] == DONE:
            self._worker_groups[worker_group].job = None
        return not job.cancelled

    async def next_report(self, signature: str) -> Report:
        """The trial's next report, waiting for one."""
        job = self._present[signature]
        report = await job.mail.get()
        if report["kind"] == DONE and self._present.get(signature) is job:
            del self._present[signature]
        return report

    async def cancel(self, signature: str) -> None:
        """The trial was stopped: drop its job where it is."""
        job = self._present.pop(signature, None)
        if job is not None:
            job.cancelled = True
            self._waiting = [other for other in self._waiting if other is not job]

    async def leaving(self, worker_group: str) -> None:
        """The machine under a worker group will be taken away: its job, whose state is saved, goes to another one at once."""
        mine = self._worker_groups[worker_group]
        self._leaving.add(mine.node)
        self._put_back(mine)
        self._serve_waiting()
        await self._tell()

    async def over_memory(self, worker_group: str, text: str) -> None:
        """A worker group's worker is about to end itself because it holds more memory than it may."""
        self._worker_groups[worker_group].over_memory = text

    async def worker_group_broke(self, worker_group: str, reason: str) -> None:
        """A worker group's Train run ended with an error and will not ask again."""
        mine = self._worker_groups.setdefault(worker_group, WorkerGroup())
        self._put_back(mine)
        mine.gone = True
        if mine.of_one_job:
            self._fail_those(lambda job: job.work.worker_group == worker_group, [reason])
        else:
            self._broken.append(reason)
        self._serve_waiting()
        await self._tell()

    async def close(self, wait_s: float = 0) -> None:
        """Send every worker group home, and give them `wait_s` seconds to end their runs."""
        self._closed = True
        await self._tell()
        if self._runs and wait_s:
            await asyncio.wait([asyncio.ensure_future(_ended(run)) for run in self._runs], timeout=wait_s)

    def _serve_waiting(self) -> None:
        """Start worker groups for jobs that nobody is free for; fail the jobs when too many worker groups have broken."""
        if self._closed:
            return
        if self._most and len(self._broken) >= self._most:
            self._fail_those(lambda job: True, self._broken)
        if self._start is None:
            return
        for job in self._waiting:
            if job.work.worker_group is not None and job.work.worker_group not in self._worker_groups:
                self._start_worker_group(job.work.worker_group, of_one_job=True)
        live = [
            worker_group
            for worker_group in self._worker_groups.values()
            if not (worker_group.gone or worker_group.of_one_job)
        ]
        free = sum(worker_group.job is None and worker_group.node not in self._leaving for worker_group in live)
        wanted = sum(job.work.worker_group is None for job in self._waiting) - free
        for _ in range(min(wanted, self._most - len(live) - len(self._broken))):
            self._start_worker_group(f"group-{len(self._runs)}")

    def _start_worker_group(self, name: str, of_one_job: bool = False) -> None:
        self._worker_groups[name] = WorkerGroup(of_one_job=of_one_job)
        self._runs.append(self._start(name))

    def _next(self, worker_group: str) -> Job | None:
        """A job bound to this worker group, or the first one bound to none."""
        if self._worker_groups[worker_group].node in self._leaving:
            return None
        return next((job for job in self._waiting if job.work.worker_group in (None, worker_group)), None)

    def _put_back(self, worker_group: WorkerGroup) -> None:
        """A worker group let go of its job without an end: give it again, first in the queue, if its budget allows."""
        job, worker_group.job = worker_group.job, None
        memory, worker_group.over_memory = worker_group.over_memory, None
        if job is None or job.cancelled:
            return
        kind = PREEMPTION if worker_group.node in self._leaving or is_leaving(worker_group.node) else FAULT
        if job.losses.another_attempt(kind):
            self._waiting.insert(0, job)
        else:
            self._fail(job, **job.losses.failure(kind, memory))

    def _fail_those(self, chosen: Callable[[Job], bool], reasons: list[str]) -> None:
        reason = "; ".join(sorted(set(reasons)))
        lost = [job for job in self._waiting if chosen(job)]
        self._waiting = [job for job in self._waiting if job not in lost]
        for job in lost:
            self._fail(job, "FAILED", f"no worker group is left: {reason}")

    def _fail(self, job: Job, failure: str, reason: str) -> None:
        job.mail.put_nowait({"kind": DONE, "failure": failure, "reason": reason})

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


async def _ended(run: Any) -> None:
    with suppress(Exception):  # why a worker group broke has been told
        await run
