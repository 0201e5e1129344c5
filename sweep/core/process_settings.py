"""Settings of a process that trains: its threads, and glibc's allocator told to keep freed pages.

By default the allocator returns freed pages at once, and every batch faults its pages in again.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLD, _TRIM, _PAD = 1 << 30, 1 << 32, 1 << 26  # bytes
KEEP_PAGES = {  # for a process that is to be started
    "MALLOC_MMAP_THRESHOLD_": str(_THRESHOLD),
    "MALLOC_TRIM_THRESHOLD_": str(_TRIM),
    "MALLOC_TOP_PAD_": str(_PAD),
}
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_LARGEST = 2**31 - 1  # mallopt takes an int


def keep_pages() -> None:
    """The same for this process; does nothing where the C library is not glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_M_MMAP_THRESHOLD, _THRESHOLD), (_M_TRIM_THRESHOLD, _TRIM), (_M_TOP_PAD, _PAD)):
            mallopt(parameter, min(value, _LARGEST))


@contextmanager
def as_a_worker(threads: int) -> Iterator[None]:
    """Within: this process trains as a worker of a sweep does, with `threads` threads. Its number of threads is given back, the pages are not."""
    import torch

    before = torch.get_num_threads()
    keep_pages()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
