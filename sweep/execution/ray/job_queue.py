"""The job queue: trials submit jobs, worker groups take them, reports travel back.

A worker group imports torch and reads the images once for all the trials that it serves. Groups are started when jobs wait, and end when
none do where others could use their resources. A job that raises does not end its worker group; a job whose process or machine is lost is
requeued for whichever group asks next, until its limit is reached. Faults and preemptions have limits of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray

from sweep.execution.job import DONE, FAULT, PREEMPTION, Losses, Report, Said, Work
from sweep.execution.ray.nodes import HEAD, is_leaving, is_lost

_VERDICT_S = 30  # a driver that answers later than that does not hold its workers up


@dataclass(eq=False)
class QueuedJob:
    """One submission of a trial: a later one of the same signature is another job with its own reports."""

    work: Work
    losses: Losses
    mail: asyncio.Queue[Report] = field(default_factory=asyncio.Queue)
    sent: int = 0  # reports that came from the worker
    taken: int = 0  # of these, handed to the trial
    judged: int = 0  # of these, answered: the trial asked for the next one
    cancelled: bool = False

    @property
    def signature(self) -> str:
        return self.work.trial.signature


@dataclass
class WorkerGroup:
    """The state of one worker group."""

    node: str = ""
    job: QueuedJob | None = None
    of_one_job: bool = False
    gone: bool = False
    said: Said | None = None  # what its worker said before it ended itself


@ray.remote(num_cpus=0, resources=HEAD)  # on the head: workers' machines come and go
class JobQueue:
    """Jobs in the order of their submission. Every method is a coroutine: no caller blocks another."""

    def __init__(self, max_failures: int, max_preemptions: int) -> None:
        self._limits = {FAULT: max_failures, PREEMPTION: max_preemptions}
        self._waiting: list[QueuedJob] = []
        self._present: dict[str, QueuedJob] = {}  # by signature: the one whose reports are asked for
        self._worker_groups: dict[str, WorkerGroup] = {}
        self._leaving: set[str] = set()  # nodes that will be taken away
        self._closed = False
        self._start: Callable[[str], Any] | None = None
        self._runs: list[Any] = []  # references that starting a worker group returned: resolve when it has ended
        self._watches: list[asyncio.Future[None]] = []
        self._most = 0
        self._idle_s: float | None = None
        self._broken: list[str] = []
        self._activities: dict[str, Report] = {}  # by signature of the trial or hash of the artifact, for the live view
        self._news = asyncio.Condition()

    async def open(
        self, start: Callable[[str], Any], most: int, idle_s: float | None = None, eager: bool = False
    ) -> None:
        """`start` starts a worker group by name, `most` may exist at once, each ends after `idle_s` seconds without a job.

        Once `most` groups have broken, waiting jobs fail instead of waiting for ever. `eager` starts all of them now, unless
        idle ones end.
        """
        self._start, self._most, self._idle_s = start, most, idle_s
        for _ in range(most if eager and idle_s is None else 0):
            self._start_worker_group(f"group-{len(self._runs)}")

    async def submit(self, work: Work) -> None:
        """Queue a trial's job; an earlier one of the same trial is dropped."""
        job = QueuedJob(work, Losses(self._limits))
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
            job = self._next(worker_group)
            if self._closed or job is None:
                mine.gone = True
                return None
            mine.job = job
            self._waiting.remove(job)
        return job.work

    async def held(self, worker_group: str) -> Work:
        """The job that a worker group has taken, for the workers beside the one that took it."""
        job = self._worker_groups[worker_group].job
        if job is None:
            raise RuntimeError(f"{worker_group} holds no job")
        return job.work

    async def report(self, worker_group: str, signature: str, report: Report) -> bool:
        """Pass one report to the trial; False tells the worker group to drop the job."""
        job = self._worker_groups[worker_group].job
        if job is None or job.signature != signature:
            return False
        job.mail.put_nowait(report)
        job.sent += 1
        if report["kind"] == DONE:
            self._worker_groups[worker_group].job = None
            self._activities.pop(signature, None)
        elif _at_rung(job.work, report):
            await self._judged(job, job.sent)
        return not job.cancelled

    async def _judged(self, job: QueuedJob, number: int) -> None:
        """Wait until the scheduler has decided on a report, so that a stopped trial trains no further than its rung."""
        async with self._news:
            with suppress(TimeoutError):
                decided = self._news.wait_for(lambda: job.cancelled or self._closed or job.judged >= number)
                await asyncio.wait_for(decided, _VERDICT_S)

    async def note(self, key: str, activity: Report | None) -> None:
        """What the worker of a trial (by signature) or an artifact (by hash) does now; None when it is over."""
        if activity is None:
            self._activities.pop(key, None)
        else:
            self._activities[key] = activity

    async def activities(self) -> dict[str, Report]:
        """What the workers do now."""
        return self._activities

    async def next_report(self, signature: str) -> Report:
        """The trial's next report, waiting for one."""
        job = self._present[signature]
        job.judged = job.taken
        await self._tell()
        report = await job.mail.get()
        job.taken += 1
        if report["kind"] == DONE and self._present.get(signature) is job:
            del self._present[signature]
        return report

    async def cancel(self, signature: str) -> None:
        """The trial was stopped: drop its job where it is."""
        job = self._present.pop(signature, None)
        if job is not None:
            job.cancelled = True
            self._waiting = [other for other in self._waiting if other is not job]
            await self._tell()

    async def leaving(self, worker_group: str) -> None:
        """A worker group's machine will be taken away: its job, whose state is saved, is requeued at once."""
        mine = self._worker_groups[worker_group]
        self._leaving.add(mine.node)
        self._put_back(mine)
        self._serve_waiting()
        await self._tell()

    async def ending(self, worker_group: str, said: Said) -> None:
        """A worker group's worker is about to end itself because it exceeds a limit of memory or time."""
        self._worker_groups[worker_group].said = said

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
        """End every worker group, and wait up to `wait_s` seconds until they have."""
        self._closed = True
        await self._tell()
        if self._runs and wait_s:
            await asyncio.wait([asyncio.ensure_future(_ended(run)) for run in self._runs], timeout=wait_s)

    def _serve_waiting(self) -> None:
        """Start worker groups for jobs that no idle group can take; fail the jobs when too many groups have broken."""
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
        if self._start is None:
            raise RuntimeError("open() says how a worker group is started")
        self._worker_groups[name] = WorkerGroup(of_one_job=of_one_job)
        run = self._start(name)
        self._runs.append(run)
        if run is not None:
            self._watches.append(asyncio.ensure_future(self._watch(name, run)))

    async def _watch(self, name: str, run: Awaitable[Any]) -> None:
        """Note a worker group whose task raised, or could not be placed anywhere."""
        try:
            await run
        except Exception as error:  # noqa: BLE001 - whatever it was is the reason that its jobs are told
            await self.worker_group_broke(name, str(error).strip().splitlines()[-1])

    def _next(self, worker_group: str) -> QueuedJob | None:
        """A job bound to this worker group, or the first one bound to none."""
        if self._worker_groups[worker_group].node in self._leaving:
            return None
        return next((job for job in self._waiting if job.work.worker_group in (None, worker_group)), None)

    def _put_back(self, worker_group: WorkerGroup) -> None:
        """Requeue the job of a worker group that lost it, at the front, if retries remain."""
        job, worker_group.job = worker_group.job, None
        said, worker_group.said = worker_group.said, None
        if job is not None:
            self._activities.pop(job.signature, None)
        if job is None or job.cancelled:
            return
        kind = PREEMPTION if worker_group.node in self._leaving or is_lost(worker_group.node) else FAULT
        if job.losses.another_attempt(kind):
            self._waiting.insert(0, job)
        else:
            self._fail(job, **job.losses.failure(kind, said))

    def _fail_those(self, chosen: Callable[[QueuedJob], bool], reasons: list[str]) -> None:
        reason = "; ".join(sorted(set(reasons)))
        lost = [job for job in self._waiting if chosen(job)]
        self._waiting = [job for job in self._waiting if job not in lost]
        for job in lost:
            self._fail(job, "FAILED", f"no worker group is left: {reason}")

    def _fail(self, job: QueuedJob, failure: str, reason: str) -> None:
        job.mail.put_nowait({"kind": DONE, "failure": failure, "reason": reason})

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def _at_rung(work: Work, report: Report) -> bool:
    """Whether the scheduler may stop the trial on this report."""
    return report["kind"] == "epoch" and report.get("seed") == 0 and report["epoch"] in work.rungs.epochs


async def _ended(run: Any) -> None:
    with suppress(Exception):  # why a worker group broke has been told
        await run
