"""Ctrl-C and SIGTERM: exit code 130 without a traceback while a command imports, KeyboardInterrupt once it runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.core.stop_signals import stoppable

ROOT = Path(__file__).parents[3]
_IMPORTING = "from sweep.core.stop_signals import stop_before_work; stop_before_work(); print('ready', flush=True); import time; time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_still_imports_ends_with_one_line(number):
    process = subprocess.Popen(
        [sys.executable, "-c", _IMPORTING], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and said == "stopped before anything was computed\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_the_second_would_end_the_process(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stoppable():
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(number) == before
