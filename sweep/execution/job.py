"""One job for the workers: a trial, what attacks it, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.store.trial import Attacks, Rungs, Trial


@dataclass(frozen=True)
class Work:
    """One job for a worker group: plain data, so that no process needs torch to carry it."""

    trial: Trial
    attacks: Attacks
    rungs: Rungs = Rungs()  # of the trial's first seed
    threads: int = 1
    checkpoint_every_s: float = 15.0
    worker_group: str | None = None  # the one worker group that may take it; None: any
    last: bool = False  # the worker group goes home after it
