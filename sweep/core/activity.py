"""What this process computes now, for a view of the progress; without a listener nothing happens.

with heard_by(listener):
    with noting(seed=3):
        doing("training", step, steps)      # listener({"doing": "training", "step": ..., "steps": ..., "seed": 3})
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Listener = Callable[[dict[str, Any]], object]
EVERY_S = 1.0  # between two reports of the same work: a training takes hundreds of steps a second


@dataclass
class _Reporter:
    listener: Listener
    every_s: float
    clock: Callable[[], float]
    facts: dict[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    at: float = 0.0

    def tell(self, name: str, step: int, steps: int) -> None:
        """Report other work at once, the same work at most once in `every_s`."""
        now, what = self.clock(), (name, *map(str, self.facts.values()))
        if what != self.said or now - self.at >= self.every_s:
            self.said, self.at = what, now
            self.listener({**self.facts, "doing": name, "step": step, "steps": steps})


_reporter: _Reporter | None = None


@contextmanager
def heard_by(
    listener: Listener, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Report this process's work to `listener` inside the block."""
    global _reporter
    before, _reporter = _reporter, _Reporter(listener, every_s, clock)
    try:
        yield
    finally:
        _reporter = before


@contextmanager
def noting(**facts: Any) -> Iterator[None]:
    """Facts that every report inside the block carries."""
    if _reporter is None:
        yield
        return
    reporter, before = _reporter, _reporter.facts
    reporter.facts = {**before, **facts}
    try:
        yield
    finally:
        reporter.facts = before


def doing(name: str, step: int = 0, steps: int = 0) -> None:
    """Say what is computed now: `step` of `steps` where the number of steps is known."""
    if _reporter is not None:
        _reporter.tell(name, step, steps)
