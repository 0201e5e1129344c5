"""A sweep stopped by hand or killed: nothing is left behind, and the same command ends what was begun."""

import signal
import time
from collections import Counter

import psutil
import pytest

from sweep.records import read_ledger
from tests.fakes.question import TEXT, write_question
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]
SHORT = TEXT.replace("colorizer: [none, pixelshuffle]", "colorizer: [none]").replace("epochs: 2", "epochs: 3")
RECORDS = 4


def wait_for(condition, process, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the sweep ended too early"
        assert time.monotonic() < deadline, "the sweep got nowhere"
        time.sleep(0.1)


def finishes(home):
    return len(read_ledger(home / "run").of_kind("finish"))


def test_ctrl_c_leaves_no_process_and_says_how_to_resume(tmp_path):
    process = sweep_process.start(tmp_path, write_question(tmp_path, SHORT), "--storage", tmp_path / "run")
    wait_for(lambda: read_ledger(tmp_path / "run").of_kind("epoch"), process, 120)
    family = sweep_process.descendants(process)
    try:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        _, alive = psutil.wait_procs(family, timeout=15)
        assert [one.name() for one in alive] == []
    finally:
        sweep_process.end(family)
    output = (tmp_path / "sweep.log").read_text()
    assert "Resume with:" in output and "python -m sweep.run" in output and "Traceback" not in output


def test_killed_driver_loses_and_repeats_nothing(tmp_path):
    question = write_question(tmp_path, SHORT)
    process = sweep_process.start(tmp_path, question, "--storage", tmp_path / "run")
    wait_for(lambda: finishes(tmp_path) >= 1, process, 150)
    family = sweep_process.descendants(process)
    process.kill()
    process.wait(timeout=10)
    sweep_process.end(family)
    before = read_ledger(tmp_path / "run").finished()
    again = sweep_process.run(tmp_path, question, "--storage", tmp_path / "run", timeout_s=200)
    assert again.returncode == 0, again.stdout + again.stderr
    reading = read_ledger(tmp_path / "run")
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert len(counts) == RECORDS and set(counts.values()) == {1}
    assert all(reading.finished()[record] == event for record, event in before.items())
