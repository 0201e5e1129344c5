"""One driver at a time where nothing can be locked: an object store. The driver renews its name there; a name that is not renewed is free.

Ages are differences between times that the store itself gave, so clocks of different machines need not agree.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sweep.core.errors import InputError
from sweep.storage import Storage

LEASE_FILE, _NOW_FILE = "driver.lease", ".now"
RENEWED_S, DEAD_S = 10.0, 45.0  # renewed this often; taken over when it is older than that
_SETTLE_S = 1.0  # two drivers that begin at once both write; the one that is read back afterwards has it


@contextmanager
def leased(run: Storage, renewed_s: float = RENEWED_S, dead_s: float = DEAD_S, settle_s: float = _SETTLE_S) -> Iterator[None]:
    """Hold the run for this process; InputError when another one holds it."""
    name = f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"
    _refuse_if_held(run, name, dead_s)
    _write(run, name)
    time.sleep(settle_s)
    _refuse_if_held(run, name, dead_s)
    stop = threading.Event()
    renewer = threading.Thread(target=_renew, args=(run, name, renewed_s, stop), daemon=True)
    renewer.start()
    try:
        yield
    finally:
        stop.set()
        renewer.join(renewed_s)
        with suppress(OSError):
            run.delete(LEASE_FILE)


def _refuse_if_held(run: Storage, name: str, dead_s: float) -> None:
    try:
        holder = run.read(LEASE_FILE).decode()
    except FileNotFoundError:
        return
    run.write(_NOW_FILE, b"")
    age = run.written_at(_NOW_FILE) - run.written_at(LEASE_FILE)
    if holder != name and age < dead_s:
        cure = f"wait for it, or {dead_s:.0f} s if it was killed; or give another --storage"
        raise InputError(run.url, f"another sweep writes there ({holder}, renewed {age:.0f} s ago)", cure)


def _renew(run: Storage, name: str, every_s: float, stop: threading.Event) -> None:
    while not stop.wait(every_s):
        with suppress(OSError):  # the next one may succeed; records say the rest
            _write(run, name)


def _write(run: Storage, name: str) -> None:
    run.write(LEASE_FILE, name.encode())
