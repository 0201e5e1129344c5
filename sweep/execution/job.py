"""What a worker is given and what it answers: a job is one trial with its attacks, a report is one step of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.store.trial import Attacks, Rungs, Trial

Report = dict[str, Any]
"""`kind` says which: stages (artifacts obtained), epoch, finish and failed (of one seed), done (of the whole job)."""

DONE = "done"
FAULT, PREEMPTION = "fault", "preemption"


@dataclass(frozen=True)
class Work:
    """One job for a worker group: plain data, so that no process needs torch to carry it."""

    trial: Trial
    attacks: Attacks
    rungs: Rungs = Rungs()  # of the trial's first seed
    threads: int = 1
    checkpoint_every_s: float = 15.0
    worker_group: str | None = None  # the one worker group that may take it; None: any
    last: bool = False  # the worker group ends after it


@dataclass
class Losses:
    """How often a job lost its process, by cause, against how often it may: faults and preemptions have limits of their own."""

    limits: Mapping[str, int]
    counts: Counter[str] = field(default_factory=Counter)

    def another_attempt(self, cause: str) -> bool:
        """Count one loss; whether the job may run again."""
        self.counts[cause] += 1
        return self.counts[cause] <= self.limits[cause]

    def failure(self, cause: str, over_memory: str | None = None, exit_text: str | None = None) -> dict[str, str]:
        """Class and reason of a job that was lost too often.

        `over_memory` is what its worker reported before it ended itself, `exit_text` how its last process ended, where that is known.
        """
        count = self.counts[cause]
        times = "once" if count == 1 else f"{count} times"
        if over_memory is not None:
            return {"failure": "OOM", "reason": f"{over_memory}, {times}"}
        if cause == FAULT:
            last = f", at last by {exit_text}" if exit_text else ""
            return {"failure": "FAILED", "reason": f"its worker process died {times}{last}"}
        return {"failure": "FAILED", "reason": f"its machine was taken away {times} (resources.max_preemptions)"}
