"""Time limits of tests that wait for other processes, on a machine that may be busy."""

from __future__ import annotations

import os

VARIABLE = "TEST_PATIENCE"


def patient(seconds: float) -> float:
    """`seconds`, times $TEST_PATIENCE where it is set: for how long a process may take to get somewhere, not what is measured."""
    return seconds * float(os.environ.get(VARIABLE, "1"))
