"""A line whenever a command has been silent for a while, so that a log shows that it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from sweep.core.durations import duration

SILENCE_S = 10.0  # the longest silence
_LOOK_S = 1.0


class Heartbeat:
    """Calls `say` when nothing was printed for `silence_s`; `heard` is told of everything that is printed.

    `beat` is called by a thread of its own inside the `with` block.
    """

    def __init__(
        self, say: Callable[[], None], silence_s: float = SILENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._silence_s, self._clock = say, silence_s, clock
        self._last = clock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Heartbeat:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def heard(self) -> None:
        """Something was printed."""
        self._last = self._clock()

    def beat(self) -> None:
        """Say something if it has been silent for too long; looked at every second, so a line comes before the limit."""
        if self._clock() - self._last >= self._silence_s - 2 * _LOOK_S:
            self.heard()
            self._say()

    def _run(self) -> None:
        while not self._end.wait(_LOOK_S):
            self.beat()


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """While a step without progress of its own runs, a line every few seconds that says what it is and since when."""
    begin = time.monotonic()

    def say() -> None:
        console.print(f"{what}, {duration(time.monotonic() - begin)} so far", soft_wrap=True, markup=False)

    with Heartbeat(say):
        yield
