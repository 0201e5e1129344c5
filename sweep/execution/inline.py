"""The inline engine: the plan's campaign in this process, or in subprocesses of it, without Ray.

One loop gives tasks to workers: an artifact to compute, or a trial whose artifacts exist. What the workers report goes to the same
`CampaignRecords` as under Ray, so ledger, early stopping, races, budgets and resume are the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sweep.core.garbage import collection_paused
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.execution.campaign_records import CampaignRecords
from sweep.execution.inline_tasks import STAGE_DONE, STAGE_FAILED, Handler, Lost, StageTask, Task
from sweep.execution.job import ACTIVITY, DONE, FAULT, Losses, Obtained, Report, Work, failure, stages_report
from sweep.execution.launch import Launch
from sweep.pipeline.stages import shared_models
from sweep.planning.capacity import Capacity
from sweep.planning.plan import Plan
from sweep.search.candidate import Assignment
from sweep.store.artifact_store import ArtifactStore, Stage
from sweep.store.trial import Trial

_STAGE_RETRIES = 3  # computations of one artifact whose process dies, as under Ray


class Workers(Protocol):
    """What runs tasks: this process, or subprocesses."""

    @property
    def free(self) -> int:
        """How many tasks could be started now."""

    def start(self, task: Task, handler: Handler) -> None:
        """Run a task; the handler gets its reports. In this process it returns when the task is over."""

    def wait(self, handler: Handler) -> None:
        """Block until at least one report of a running task was handled, or a worker was lost."""


@dataclass(eq=False)
class _Artifact:
    """A stage that some trial asked for: to be computed, running, done or failed."""

    stage: Stage
    losses: Losses = field(default_factory=lambda: Losses({FAULT: _STAGE_RETRIES}))
    meta: dict[str, Any] | None = None
    failed: dict[str, str] | None = None

    @property
    def open(self) -> bool:
        return self.meta is None and self.failed is None


@dataclass(eq=False)
class _OpenTrial:
    """A trial between its launch and its end. `asked` names each artifact with whether this trial caused its computation."""

    launch_id: str
    trial: Trial
    losses: Losses
    asked: list[tuple[_Artifact, bool]]
    begin: float = field(default_factory=time.perf_counter)


def run_inline(
    launch: Launch,
    plan: Plan,
    data: Data,
    capacity: Capacity,
    records: CampaignRecords,
    first: Callable[[], None] = lambda: None,
) -> None:
    """Run the plan's campaign; returns when it is finished or the budget is spent. `first` is called before anything is run.

    Trials run in this process when one runs at a time and its memory is not limited, else each in a subprocess.
    """
    with collection_paused():
        from sweep.execution.inline_workers import workers_of  # imports torch

    first()
    launch = replace(launch, shared_models=shared_models(plan.foreseen, data))
    count = max(1, min(capacity.concurrent_trials, plan.campaign.expected_records))
    with workers_of(launch, data, count) as workers, records.progress:
        _InlineRun(launch, plan, records, workers, count).to_end()


class _InlineRun:
    def __init__(self, launch: Launch, plan: Plan, records: CampaignRecords, workers: Workers, count: int) -> None:
        self._launch, self._plan, self._records, self._workers = launch, plan, records, workers
        # one more than there are workers when there are several: while one trial's generator trains, another trial runs
        self._limit = count + 1 if count > 1 else 1
        self._store = ArtifactStore(Storage(launch.run_url))
        self._artifacts: dict[str, _Artifact] = {}
        self._to_compute: list[_Artifact] = []
        self._waiting: list[_OpenTrial] = []  # for artifacts
        self._ready: deque[_OpenTrial] = deque()
        self._running: dict[int, _Artifact | _OpenTrial] = {}  # by the number of the task
        self._tasks = self._launches = 0
        wall_s = records.budget_tracker.wall_s
        self._end = None if wall_s is None else time.monotonic() + wall_s

    def to_end(self) -> None:
        """Start tasks while there are any and handle what they report."""
        while True:
            while self._workers.free and (task := self._next_task()) is not None:
                self._workers.start(task, self._handle)
            if not self._running:
                return
            self._workers.wait(self._handle)

    def _over(self) -> bool:
        """Whether the wall time of the budget is used up: running trials then stop at their next epoch and stay unfinished."""
        return self._end is not None and time.monotonic() >= self._end

    def _next_task(self) -> Task | None:
        if self._over():
            return None
        while True:
            for artifact in self._to_compute:
                if self._can_begin(artifact):
                    self._to_compute.remove(artifact)
                    return self._numbered(artifact, StageTask(artifact.stage))
            if self._ready:
                opened = self._ready.popleft()
                return self._numbered(opened, self._launch.work(opened.trial))
            if not self._open_next():
                return None

    def _numbered(self, item: _Artifact | _OpenTrial, content: StageTask | Work) -> Task:
        self._tasks += 1
        self._running[self._tasks] = item
        return Task(self._tasks, content)

    def _open_next(self) -> bool:
        """Take the campaign's next job; False when there is none now."""
        opened = len(self._waiting) + sum(isinstance(item, _OpenTrial) for item in self._running.values())
        if opened >= self._limit or not self._records.budget_tracker.may_launch():
            return False
        job = self._plan.campaign.next_job()
        if job is None:
            return False
        self._launch_trial(job)
        return True

    def _launch_trial(self, job: Assignment) -> None:
        self._launches += 1
        launch_id, trial = str(self._launches), self._plan.trial(job)
        self._records.budget_tracker.launched(launch_id)
        losses = Losses({FAULT: self._launch.resources.max_failures})
        opened = _OpenTrial(launch_id, trial, losses, [])
        try:
            for stage in self._launch.stages(trial, self._plan.data):
                self._ask(stage, opened.asked)
        except Exception as error:  # noqa: BLE001 - a configuration whose stages cannot be named fails, and no other with it
            self._give_up(opened, failure(error))
            return
        self._waiting.append(opened)
        self._settle_waiting()

    def _ask(self, stage: Stage, asked: list[tuple[_Artifact, bool]]) -> None:
        """Note a stage as wanted, after what it depends on unless it is there already."""
        there = self._known(stage)
        for need in stage.dependencies:
            if not there or self._known(need):
                self._ask(need, asked)
        mine = stage.hash not in self._artifacts
        artifact = self._artifacts.setdefault(stage.hash, _Artifact(stage))
        if mine:
            self._to_compute.append(artifact)
        asked.append((artifact, mine))

    def _known(self, stage: Stage) -> bool:
        """Whether a stage is finished or on its way."""
        if stage.hash not in self._artifacts and (meta := self._store.meta(stage)):
            self._artifacts[stage.hash] = _Artifact(stage, meta=meta)
        return stage.hash in self._artifacts

    def _can_begin(self, artifact: _Artifact) -> bool:
        needs = [self._artifacts[need.hash] for need in artifact.stage.dependencies if need.hash in self._artifacts]
        return not any(need.open for need in needs)

    def _settle_waiting(self) -> None:
        """Move trials whose artifacts are all there to the ready ones; trials of a failed artifact fail with its reason."""
        for artifact in list(self._to_compute):
            needs = [self._artifacts[need.hash] for need in artifact.stage.dependencies if need.hash in self._artifacts]
            if failed := next((need.failed for need in needs if need.failed), None):
                artifact.failed = failed
                self._to_compute.remove(artifact)
        for opened in list(self._waiting):
            failed = next((artifact.failed for artifact, _ in opened.asked if artifact.failed), None)
            if failed is None and any(artifact.open for artifact, _ in opened.asked):
                continue
            self._waiting.remove(opened)
            if failed is not None:
                self._give_up(opened, failed)
                continue
            obtained = [Obtained.of(one.stage, one.meta or {}, reused=not mine) for one, mine in opened.asked]
            self._records.take(opened.trial, stages_report(obtained, time.perf_counter() - opened.begin))
            self._ready.append(opened)

    def _give_up(self, opened: _OpenTrial, reason: dict[str, str]) -> None:
        for seed in opened.trial.seeds:
            self._records.take(opened.trial, {"kind": "failed", "seed": seed, **reason})
        self._records.ended(opened.trial, opened.launch_id)

    def _handle(self, number: int, report: Report | Lost) -> bool:
        """One report of a task, or the loss of its worker; False drops the task."""
        item, progress = self._running[number], self._records.progress
        key, facts = (
            (item.stage.hash, {})
            if isinstance(item, _Artifact)
            else (item.trial.signature, {"config": item.trial.config})
        )
        if not isinstance(report, Lost) and report.get("kind") == ACTIVITY:
            progress.on_activity(key, {**report, **facts})
            return True
        if isinstance(report, Lost) or isinstance(item, _Artifact) or report["kind"] == DONE:
            progress.on_activity(key, None)
        if isinstance(report, Lost):
            del self._running[number]
            self._lost(item, report)
        elif isinstance(item, _Artifact):
            del self._running[number]
            item.meta, item.failed = report.get(STAGE_DONE), report.get(STAGE_FAILED)
            self._settle_waiting()
        elif report["kind"] == DONE:
            del self._running[number]
            self._records.ended(item.trial, item.launch_id)
        else:
            stops = self._records.stops(item.trial, report)
            self._records.take(item.trial, report)
            return not (stops or self._over())
        return True

    def _lost(self, item: _Artifact | _OpenTrial, how: Lost) -> None:
        """A worker process died under a task: run it again, before anything else, as often as its limit allows."""
        again = item.losses.another_attempt(FAULT)
        if isinstance(item, _Artifact):
            if again:
                self._to_compute.insert(0, item)
            else:
                item.failed = item.losses.failure(FAULT, how.said, how.exit)
                self._settle_waiting()
        elif again:
            self._ready.appendleft(item)
        else:
            self._records.take(item.trial, {"kind": DONE, **item.losses.failure(FAULT, how.said, how.exit)})
            self._records.ended(item.trial, item.launch_id)
