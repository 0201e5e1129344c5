"""A lease for storage without locks (object stores): the driver writes its name and renews it; a lease that is not renewed expires.

Ages are differences of times that the store reports, so the clocks of machines need not agree.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sweep.core.durations import duration
from sweep.core.errors import InputError
from sweep.core.storage import Storage

LEASE_FILE, _NOW_FILE = "driver.lease", ".now"
RENEWED_S, DEAD_S = 10.0, 45.0  # renewed this often; taken over when it is older than that
_SETTLE_S = 1.0  # of two drivers that begin at once both write; the one that is read back afterwards holds the lease
_FIX = "let that one go on; or end it and run the same command again, which resumes"


class Lease:
    """The lease of one driver. A driver whose lease expired and was taken over must not write any more."""

    def __init__(self, run: Storage, name: str) -> None:
        self._run, self.name = run, name
        self.holder: str | None = None  # the new holder, once it is lost
        self._lock = threading.Lock()  # the renewal and the ledger both ask

    def __reduce__(self) -> tuple:
        """Tune pickles what refers to a ledger; a lock cannot be pickled, and the copy reads the lease itself."""
        return Lease, (self._run, self.name)

    def check(self) -> None:
        """Read the lease; InputError names the holder where that is another driver."""
        if self._holder_now() != self.name:
            raise InputError(
                self._run.url,
                f"another sweep took it over ({self.holder}) while this one did not renew its lease; nothing more is written",
                _FIX,
            )

    def renew(self) -> bool:
        """Write the name again if this driver still holds the lease; False once it does not."""
        with self._lock:
            if self._seen() == self.name:
                self._run.write(LEASE_FILE, self.name.encode())
        return self.holder is None

    def release(self) -> None:
        """Remove the lease, unless another driver holds it."""
        with self._lock:
            if self._seen() == self.name:
                self._run.delete(LEASE_FILE)

    def _holder_now(self) -> str:
        with self._lock:
            return self._seen()

    def _seen(self) -> str:
        """The holder in the store. A lost lease stays lost: the other driver may have written and ended meanwhile."""
        if self.holder is None:
            try:
                found = self._run.read(LEASE_FILE).decode()
            except FileNotFoundError:
                found = "one that has ended since"
            self.holder = None if found == self.name else found
        return self.holder or self.name


@contextmanager
def leased(
    run: Storage, renewed_s: float = RENEWED_S, dead_s: float = DEAD_S, settle_s: float = _SETTLE_S
) -> Iterator[Lease]:
    """Hold the run for this process; InputError when another process holds it."""
    lease = Lease(run, f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})")
    _take(lease, run, dead_s, settle_s)
    stop = threading.Event()
    renewer = threading.Thread(target=_keep_renewing, args=(lease, renewed_s, stop), daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        stop.set()
        renewer.join(renewed_s)
        with suppress(OSError):
            lease.release()


def _take(lease: Lease, run: Storage, dead_s: float, settle_s: float) -> None:
    """Write the name if no live driver holds the lease, and check it again after longer than a write takes."""
    begin = time.monotonic()
    _refuse_if_held(run, lease.name, dead_s)
    run.write(LEASE_FILE, lease.name.encode())
    time.sleep(
        max(settle_s, 2 * (time.monotonic() - begin))
    )  # a driver that began at the same time may be as slow as this one
    _refuse_if_held(run, lease.name, dead_s)


def _refuse_if_held(run: Storage, name: str, dead_s: float) -> None:
    try:
        holder = run.read(LEASE_FILE).decode()
    except FileNotFoundError:
        return
    run.write(_NOW_FILE, b"")
    age = run.written_at(_NOW_FILE) - run.written_at(LEASE_FILE)
    if holder != name and age < dead_s:
        fix = f"wait for it, or {duration(dead_s)} if it was killed; or give another --storage"
        raise InputError(run.url, f"another sweep writes there ({holder}, renewed {duration(age)} ago)", fix)


def _keep_renewing(lease: Lease, every_s: float, stop: threading.Event) -> None:
    while not stop.wait(every_s):
        with suppress(OSError):  # the next attempt may succeed; the driver checks the lease before every write
            if not lease.renew():
                return
