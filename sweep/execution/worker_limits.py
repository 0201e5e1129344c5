"""Limits of a worker process: memory, time of one job, time without a report. Above one the process says which, and ends itself.

A thread of the process watches. Where the interpreter itself hangs, so that no thread runs, `faulthandler`, which needs none, ends the
process half a minute later.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.config.sweep_config import Resources
from sweep.execution.job import Said
from sweep.execution.memory_limit import MemoryGuard

_LOOK_S = 0.2
_GRACE_S = 30.0  # of a thread that should have ended the process
_EXIT_CODE = 124  # as `timeout` ends a command


@dataclass(frozen=True)
class WorkerLimits:
    """Private memory in bytes, seconds of one job, seconds without a report of it; None: unlimited."""

    memory_bytes: float | None = None
    trial_s: float | None = None
    silence_s: float | None = None

    @classmethod
    def of(cls, resources: Resources) -> WorkerLimits:
        """The limits that a sweep config sets."""
        return cls(resources.memory_bytes, resources.max_trial_s, resources.max_silence_s)

    @property
    def of_a_stage(self) -> WorkerLimits:
        """The limits of an artifact's computation, which reports once, at its end."""
        return replace(self, silence_s=None)


UNLIMITED = WorkerLimits()


@contextmanager
def limited(
    limits: WorkerLimits, say: Callable[[Said], None], end: Callable[[int], None] = os._exit
) -> Iterator[Callable[[], None]]:
    """Watch one job of this process; yields a function to call at each of its reports.

    `say` gets failure class and reason, then `end` is called in the watching thread.
    """
    with (
        TimeGuard(limits.trial_s, limits.silence_s, say, end) as time_guard,
        nullcontext()
        if limits.memory_bytes is None
        else MemoryGuard(limits.memory_bytes, lambda text: say({"failure": "OOM", "reason": text}), end),
    ):
        yield time_guard.heard


class TimeGuard:
    """Ends the process when its job has run for `trial_s` seconds, or has sent no report for `silence_s`.

    Made in the thread that runs the job, whose place in the code becomes part of the reason.
    """

    def __init__(
        self,
        trial_s: float | None,
        silence_s: float | None,
        say: Callable[[Said], None],
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trial_s, self._silence_s, self._say, self._end, self._clock = trial_s, silence_s, say, end, clock
        self._begin = self._heard = clock()
        self._watched = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="time-guard", daemon=True)

    def __enter__(self) -> TimeGuard:
        if self._trial_s is not None or self._silence_s is not None:
            self._arm()
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()

    def heard(self) -> None:
        """The job has sent a report."""
        self._heard = self._clock()
        self._arm()

    def excess(self) -> str | None:
        """Which limit is exceeded now, in words."""
        now = self._clock()
        if self._trial_s is not None and now - self._begin > self._trial_s:
            return f"its job ran for more than {_duration(self._trial_s)} (resources.max_trial_time)"
        if self._silence_s is not None and now - self._heard > self._silence_s:
            return f"its job sent no report for {_duration(self._silence_s)} (resources.max_silence)"
        return None

    def _arm(self) -> None:
        now = self._clock()
        ends = [
            begin + limit
            for begin, limit in ((self._begin, self._trial_s), (self._heard, self._silence_s))
            if limit is not None
        ]
        if ends and self._end is os._exit and sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(max(0.0, min(ends) - now) + _GRACE_S, exit=True, file=sys.__stderr__)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            if (excess := self.excess()) is not None:
                try:
                    self._say({"failure": "TIMEOUT", "reason": f"{excess}{self._place()}"})
                finally:  # also where the listener is gone
                    self._end(_EXIT_CODE)
                return

    def _place(self) -> str:
        """Where the job is in the code."""
        frame = sys._current_frames().get(self._watched)
        return f", at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else ""


def _duration(seconds: float) -> str:
    """Seconds as a sweep config writes them: 90s, 30m, 2h or 1d."""
    size, letter = next(
        (size, letter)
        for size, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
        if seconds >= size or size == 1
    )
    return f"{seconds / size:g}{letter}"
