"""`python -m sweep.run` as a user starts it: a process of its own, with a home of its own for Ray's token."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.fakes.patience import patient

REPOSITORY = Path(__file__).parents[2]
PYTHON = sys.executable


def command(*arguments: str) -> list[str]:
    """The command line of a sweep."""
    return [sys.executable, "-m", "sweep.run", *map(str, arguments)]


def environment(home: Path) -> dict[str, str]:
    """The test's own environment, with `home` as the home folder and no cluster to join."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS",)}
    return {**kept, "HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def run(home: Path, *arguments: str, timeout_s: float, **variables: str) -> subprocess.CompletedProcess:
    """Run a sweep to its end with these environment variables too; a hang fails after `timeout_s`."""
    return subprocess.run(
        command(*arguments),
        cwd=home,
        env=environment(home) | variables,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(home: Path, *arguments: str) -> subprocess.Popen:
    """Start a sweep in a process group of its own, its output going to a file."""
    log = open(home / "sweep.log", "a", encoding="utf-8")  # noqa: SIM115 - the process keeps it open
    return subprocess.Popen(
        command(*arguments),
        cwd=home,
        env=environment(home),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    """Every process that came of it, Ray's daemons and workers included."""
    return psutil.Process(process.pid).children(recursive=True)


def end(processes: list[psutil.Process]) -> None:
    """End exactly these processes."""
    for one in processes:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=20)


def stopped_by(process: subprocess.Popen, sent: signal.Signals, timeout_s: float) -> None:
    """Send a signal: the sweep ends with exit code 130 within `timeout_s`, and every process that came of it ends too."""
    family = descendants(process)
    try:
        process.send_signal(sent)
        assert process.wait(timeout=timeout_s) == 130
        _, alive = psutil.wait_procs(family, timeout=60)  # of a busy machine: that they end is what counts
        assert [one.name() for one in alive] == []
    finally:
        end(family)


def wait_for(condition, process, timeout_s=240):
    """Poll until the condition holds; a sweep that ends or gets nowhere is ended, and the test fails."""
    deadline = time.monotonic() + patient(timeout_s)
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "ended too early" if process.poll() is not None else "got nowhere"
            family = [psutil.Process(process.pid), *descendants(process)] if process.poll() is None else []
            end(family)
            pytest.fail(f"the sweep {state}")
        time.sleep(0.1)
