"""The job board: trials put jobs on it, worker slots take them off, reports travel back.

A slot is one long-lived Ray Train run; torch is imported and the data read once for all the trials that it serves. A job that
raises does not end its slot; a job whose process dies is given again, to whichever slot asks next, until it has died too often.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import ray

from sweep.trial import Work

Report = dict[str, Any]
DONE = "done"  # the report that closes a job


@ray.remote(num_cpus=0.001)
class JobBoard:
    """Jobs by trial signature. Every method is a coroutine: nobody blocks anybody."""

    def __init__(self, max_losses: int) -> None:
        self._max_losses = max_losses
        self._waiting: dict[str, Work] = {}
        self._held: dict[str, Work] = {}  # by slot
        self._losses: Counter[str] = Counter()
        self._mail: dict[str, asyncio.Queue[Report]] = {}
        self._cancelled: set[str] = set()
        self._broken_slots: dict[str, str] = {}
        self._slots: set[str] = set()
        self._closed = False
        self._news = asyncio.Condition()

    async def expect(self, slots: list[str]) -> None:
        """Name the slots that will serve; when all of them break, waiting jobs fail instead of waiting for ever."""
        self._slots |= set(slots)

    async def submit(self, work: Work) -> None:
        """Put a trial's job on the board."""
        signature = work.trial.signature
        self._mail[signature] = asyncio.Queue()
        self._cancelled.discard(signature)
        self._waiting[signature] = work
        if self._slots and self._slots <= set(self._broken_slots):
            self._fail_waiting()
        await self._tell()

    async def take(self, slot: str) -> Work | None:
        """The next job for a slot, waiting for one; None when the board is closed.

        A slot that asks while it still holds a job has lost its process under that job.
        """
        self._slots.add(slot)
        self._put_back(slot)
        async with self._news:
            await self._news.wait_for(lambda: self._closed or self._next(slot) is not None)
            if self._closed:
                return None
            work = self._waiting.pop(self._next(slot))
        self._held[slot] = work
        return work

    async def held(self, slot: str) -> Work:
        """The job that a slot has taken, for the workers beside the one that took it."""
        return self._held[slot]

    async def report(self, slot: str, signature: str, report: Report) -> bool:
        """Hand one report to the trial; False tells the slot to drop the job."""
        if report["kind"] == DONE:
            self._held.pop(slot, None)
        if signature in self._mail:
            self._mail[signature].put_nowait(report)
        return signature not in self._cancelled

    async def next_report(self, signature: str) -> Report:
        """The trial's next report, waiting for one."""
        return await self._mail[signature].get()

    async def cancel(self, signature: str) -> None:
        """The trial was stopped: drop its job where it is."""
        self._cancelled.add(signature)
        self._waiting.pop(signature, None)
        self._mail.pop(signature, None)

    async def slot_broke(self, slot: str, reason: str) -> None:
        """A slot's Train run ended with an error and will not ask again."""
        self._put_back(slot)
        self._broken_slots[slot] = reason
        if self._slots <= set(self._broken_slots):
            self._fail_waiting()
        await self._tell()

    async def close(self) -> None:
        """Send every slot home."""
        self._closed = True
        await self._tell()

    def _next(self, slot: str) -> str | None:
        """A job bound to this slot, or the first one bound to none."""
        free = [signature for signature, work in self._waiting.items() if work.slot in (None, slot)]
        return free[0] if free else None

    def _put_back(self, slot: str) -> None:
        work = self._held.pop(slot, None)
        if work is None or work.trial.signature in self._cancelled:
            return
        signature = work.trial.signature
        self._losses[signature] += 1
        if self._losses[signature] > self._max_losses:
            self._fail(signature, f"its worker process died {self._losses[signature]} times")
        else:
            self._waiting[signature] = work

    def _fail_waiting(self) -> None:
        reason = "; ".join(sorted(set(self._broken_slots.values())))
        for signature in list(self._waiting):
            del self._waiting[signature]
            self._fail(signature, f"no worker slot is left: {reason}")

    def _fail(self, signature: str, reason: str) -> None:
        if signature in self._mail:
            self._mail[signature].put_nowait({"kind": DONE, "failure": "FAILED", "reason": reason})

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
