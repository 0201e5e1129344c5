"""Budget of a sweep: what has been spent, and whether another trial may be launched."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sweep.config.sweep_config import SweepConfig
from sweep.core.durations import duration
from sweep.store.ledger import Event, Reading

_HOUR = 3600.0
_ENDS = ("finish", "failed", "stopped")


@dataclass
class BudgetTracker:
    """Tracks wall seconds and GPU hours. A launch is refused when a trial of median length would exceed the budget.

    `gpus` is the number of GPUs of one trial; `before_s` are trial-seconds of earlier attempts, which count as GPU time, not as wall time.
    """

    wall_s: float | None = None
    gpu_hours: float | None = None
    gpus: float = 0.0
    before_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    refused: str | None = None  # why no more trials are launched
    _lengths: list[float] = field(default_factory=list)
    _running: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begin = self.clock()

    def may_launch(self) -> bool:
        """Whether another trial fits. A refusal is final, so that a sweep that is ending launches nothing later."""
        self.refused = self.refused or self._wall_reason() or self._gpu_reason()
        return self.refused is None

    def launched(self, trial: str) -> None:
        """A trial begins."""
        self._running[trial] = self.clock()

    def ended(self, trial: str) -> None:
        """A trial is over, however it ended."""
        begin = self._running.pop(trial, None)
        if begin is not None:
            self._lengths.append(self.clock() - begin)

    @property
    def farewell(self) -> str | None:
        """Message for the end of a sweep whose budget was reached, else None."""
        reason = self.refused or self._wall_reason()
        return f"no more trials were launched: {reason}" if reason else None

    @property
    def usual_s(self) -> float:
        """Median length of this attempt's trials; 0 before the first one ended."""
        return statistics.median(self._lengths) if self._lengths else 0.0

    def _wall_reason(self) -> str | None:
        elapsed = self.clock() - self._begin
        if self.wall_s is None or elapsed + self.usual_s < self.wall_s:
            return None
        usual = f" and a trial takes about {duration(self.usual_s)}" if self._lengths else ""
        return f"budget.wall: {duration(elapsed)} of {duration(self.wall_s)} are spent{usual}"

    def _gpu_reason(self) -> str | None:
        if self.gpu_hours is None or not self.gpus:
            return None
        now = self.clock()
        running = sum(max(now - begin, self.usual_s) for begin in self._running.values())
        spent = (self.before_s + sum(self._lengths) + running) * self.gpus / _HOUR
        usual = self.usual_s * self.gpus / _HOUR
        if spent + usual < self.gpu_hours:
            return None
        return f"budget.gpu_hours: {spent:.3g} of {self.gpu_hours:g} GPU hours are spent or promised and a trial takes about {usual:.3g}"


def budget_tracker_of(sweep_config: SweepConfig, before: Reading) -> BudgetTracker:
    """The budget of a sweep config, reduced by what earlier attempts spent."""
    resources, budget = sweep_config.resources, sweep_config.budget
    return BudgetTracker(
        budget.wall_s,
        budget.gpu_hours,
        resources.workers * resources.gpus_per_worker,
        spent_before(before, resources.workers),
    )


def spent_before(reading: Reading, workers: int) -> float:
    """Trial-seconds in a ledger: records whatever their end, unfinished ones up to their last event, and the artifacts computed for them.

    An artifact is computed by one worker, so it counts as one of a trial's `workers`.
    """
    made = {
        stage["hash"]: stage["seconds"]
        for event in reading.of_kind("finish")
        for stage in event.get("stages", [])
        if not stage["reused"]
    }
    return sum(_record_seconds(events) for events in _by_record(reading).values()) + sum(made.values()) / workers


def _by_record(reading: Reading) -> dict[tuple, list[Event]]:
    """The events of each record, separately for each attempt."""
    records: dict[tuple, list[Event]] = {}
    for event in reading.events:
        if event["event"] in ("start", "epoch", *_ENDS):
            records.setdefault((event.get("attempt"), event["signature"], event["seed"]), []).append(event)
    return records


def _record_seconds(events: list[Event]) -> float:
    """The measured seconds of a finished record; for others the time from the first event to the last."""
    measured = [event["seconds"]["total"] for event in events if event["event"] == "finish"]
    if measured:
        return measured[0]
    times = [datetime.fromisoformat(event["time"]) for event in events]
    return max(0.0, (max(times) - min(times)).total_seconds())
