"""A memory limit for a worker: the process reports the excess and ends itself, before the kernel's OOM killer chooses a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

_LOOK_S = 0.2
_EXIT_CODE = 137  # as if the system had ended it
_PAGE = os.sysconf("SC_PAGE_SIZE")


def own_bytes() -> int:
    """Private resident memory of this process in bytes; shared pages, like Ray's object store, are not counted (/proc/[pid]/statm)."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(resident) - int(shared)) * _PAGE


class MemoryGuard:
    """Polls five times a second in a thread; above `most_bytes` it calls `say` with the reason and ends the process."""

    def __init__(self, most_bytes: float, say: Callable[[str], None], end: Callable[[int], None] = os._exit) -> None:
        self._most, self._say, self._end = most_bytes, say, end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-guard", daemon=True)

    def __enter__(self) -> MemoryGuard:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            used = own_bytes()
            if used > self._most:
                try:
                    self._say(
                        f"its worker held {used / 1e9:.2f} GB of memory, more than resources.memory_per_worker, {self._most / 1e9:.2f} GB"
                    )
                finally:  # also where the listener is gone
                    self._end(_EXIT_CODE)
                return
