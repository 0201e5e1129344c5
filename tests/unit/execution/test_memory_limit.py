"""The memory guard: says how much, then ends the process; leaves one alone that keeps within its limit."""

import subprocess
import sys
import threading

from sweep.execution.memory_limit import MemoryGuard, own_bytes


def watched(most_bytes, wait_s):
    said, ended = [], threading.Event()
    with MemoryGuard(most_bytes, said.append, lambda code: ended.set()):
        ended.wait(wait_s)
    return said, ended.is_set()


def test_too_much_is_said_and_ended():
    said, ended = watched(own_bytes() / 2, 5)
    assert ended and len(said) == 1 and "GB of memory" in said[0]


def test_within_the_limit_nothing_happens():
    assert watched(own_bytes() * 10, 0.6) == ([], False)


ALLOCATED = """
from sweep.execution.memory_limit import own_bytes
before = own_bytes()
kept = bytearray(200_000_000)
print(own_bytes() - before, len(kept))
"""


def test_only_memory_of_its_own_counts():
    """In a process of its own: this one may give memory back at any time."""
    told = subprocess.run([sys.executable, "-c", ALLOCATED], capture_output=True, text=True, check=True).stdout
    assert 180e6 < int(told.split()[0]) < 240e6
