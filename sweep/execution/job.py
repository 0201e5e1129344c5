"""What a worker is given and what it answers: a job is one trial with its attacks, a report is one step of it."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.core.errors import Diverged
from sweep.store.artifact_store import Stage
from sweep.store.trial import Attacks, Rungs, Trial

Report = dict[str, Any]
"""`kind` says which: stages (artifacts obtained), epoch, finish and failed (of one seed), done (of the whole job), activity."""

Said = dict[str, str]
"""Class (`failure`) and `reason` that a worker gives before it ends itself because it exceeds a limit."""

DONE = "done"
ACTIVITY = (
    "activity"  # kind of a report that only the live view takes: it gets no answer, and the ledger does not hold it
)
FAULT, PREEMPTION = "fault", "preemption"


@dataclass(frozen=True)
class Work:
    """One job for a worker group: plain data, so that no process needs torch to carry it."""

    trial: Trial
    attacks: Attacks
    rungs: Rungs = Rungs()  # of the trial's first seed
    threads: int = 1
    checkpoint_every_s: float = 15.0
    stack_seeds: str | int = "off"  # resources.stack_seeds
    capture: bool = True  # resources.capture
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

    def failure(self, cause: str, said: Said | None = None, exit_text: str | None = None) -> dict[str, str]:
        """Class and reason of a job that was lost too often.

        `said` is what its worker reported before it ended itself, `exit_text` how its last process ended, where that is known.
        """
        count = self.counts[cause]
        times = "once" if count == 1 else f"{count} times"
        if said is not None:
            return {**said, "reason": f"{said['reason']}, {times}"}
        if cause == FAULT:
            last = f", at last by {exit_text}" if exit_text else ""
            return {"failure": "FAILED", "reason": f"its worker process died {times}{last}"}
        return {"failure": "FAILED", "reason": f"its machine was taken away {times} (resources.max_preemptions)"}


class LimitExceeded(Exception):
    """A computation ended its process because it exceeded a limit of memory or time: `said` has class and reason."""

    def __init__(self, said: Said) -> None:
        self.said = said
        super().__init__(said["reason"])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.said,)


def failure(error: BaseException) -> dict[str, str]:
    """Class (DIVERGED, OOM, FAILED, or TIMEOUT where a limit was exceeded) and reason of an exception, for the ledger."""
    if isinstance(error, LimitExceeded):
        return dict(error.said)
    text = str(error) or type(error).__name__
    if isinstance(error, Diverged) or type(error).__name__ == "Collapsed":
        return {"failure": "DIVERGED", "reason": text}
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return {"failure": "OOM", "reason": text}
    place = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" ({Path(place.filename).name}:{place.lineno})" if place else ""
    return {"failure": "FAILED", "reason": f"{type(error).__name__}: {text}{where}"}


@dataclass(frozen=True)
class Obtained:
    """How a trial got an artifact: `reused` is False for the one trial that caused its computation."""

    stage: str
    hash: str
    reused: bool
    seconds: float  # what the computation cost this trial: 0 when the artifact was reused
    saved_s: float  # what reusing it saved
    facts: dict[str, Any]  # noted with the artifact: a pool's quality, its copies

    @classmethod
    def of(cls, stage: Stage, meta: dict[str, Any], reused: bool) -> Obtained:
        """From a stage and the note of its finished artifact."""
        facts = {name: value for name, value in meta.items() if name not in ("kind", "version", "inputs", "seconds")}
        spent, saved = (0.0, meta["seconds"]) if reused else (meta["seconds"], 0.0)
        return cls(stage.kind, stage.hash, reused, spent, saved, facts)


def stages_report(obtained: Iterable[Obtained], waited_s: float) -> Report:
    """The report of a trial whose artifacts exist: each artifact once, computed rather than reused where the trial did both."""
    ordered = sorted(obtained, key=lambda item: item.reused, reverse=True)
    return {
        "kind": "stages",
        "stages": list({item.hash: vars(item) for item in ordered}.values()),
        "waited_s": waited_s,
    }
