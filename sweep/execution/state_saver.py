"""Training states written beside the training: making one takes a moment of the loop, writing it happens in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SHARE = 0.02  # of the training time that making states may take


class StateSaver:
    """Saves a state at most once in `every_s` seconds, and not while the last one is still being written.

    The interval grows so that making states takes at most SHARE of the time. What writing raises is raised by the next `save` or `settle`.
    """

    def __init__(self, write: Callable[[bytes], None], every_s: float) -> None:
        self._write, self._every_s = write, every_s
        self._last = self._asked = time.monotonic()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def due(self) -> bool:
        """Whether the next state is wanted; asked before it is made."""
        self._asked = time.monotonic()
        writing = self._thread is not None and self._thread.is_alive()
        return not writing and self._asked - self._last >= self._every_s

    def save(self, state: bytes) -> None:
        """Begin to write one state."""
        self.settle()
        self._thread = threading.Thread(target=self._written, args=(state,), name="state-saver")
        self._thread.start()
        self._last = time.monotonic()
        self._every_s = max(self._every_s, (self._last - self._asked) / SHARE)

    def settle(self) -> None:
        """Wait until what was saved is written; raises what that raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _written(self, state: bytes) -> None:
        try:
            self._write(state)
        except Exception as error:  # noqa: BLE001 - for the thread that trains
            self._error = error
