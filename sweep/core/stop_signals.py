"""Ctrl-C and SIGTERM, which Slurm, Kubernetes, `timeout` and `ray job stop` send: both stop a command in the same way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_EXIT_STOPPED = 130


def stop_before_work() -> None:
    """End this process with a line and exit code 130 on either signal: for the seconds in which a command imports."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped before anything was computed\n")
    os._exit(_EXIT_STOPPED)


def raise_on_signals() -> None:
    """Raise KeyboardInterrupt on the first signal; a second one ends the process at once.

    Called again after Ray has started, which sets a handler of its own. Does nothing outside the main thread.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_DFL)
    raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt inside the block; the handlers of before come back after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raise_on_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
