"""A sweep that is stopped by a signal or whose processes are killed: nothing is left behind, and nothing is lost."""

import signal
from collections import Counter

import pytest

from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration import sweep_process
from tests.integration.sweep_process import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SHORT = TEXT.replace("colorizer: [none, pixelshuffle]", "colorizer: [none]").replace("epochs: 2", "epochs: 3")
RECORDS = 4


def finishes(home):
    return len(read_ledger(home / "run").of_kind("finish"))


@pytest.mark.slow  # test_engines stops a search under Ray in the default run
@pytest.mark.parametrize(
    ("engine", "sent"), [("ray", signal.SIGTERM), ("inline", signal.SIGINT), ("ray", signal.SIGINT)]
)
def test_a_stopped_sweep_leaves_no_process_and_says_how_to_resume(tmp_path, engine, sent):
    arguments = "--storage", tmp_path / "run", "--engine", engine, "--set", "resources.max_concurrent_trials=2"
    process = sweep_process.start(tmp_path, write_config(tmp_path, SHORT), *arguments)
    wait_for(lambda: read_ledger(tmp_path / "run").of_kind("epoch"), process)
    sweep_process.stopped_by(process, sent, timeout_s=60)
    output = (tmp_path / "sweep.log").read_text()
    assert "Resume with:" in output and "python -m sweep.run" in output and "Traceback" not in output


def killed_and_resumed(tmp_path, text, finished):
    """The ledger's finished records at the kill, and its reading after the same command ran to its end."""
    sweep_config = write_config(tmp_path, text)
    process = sweep_process.start(tmp_path, sweep_config, "--storage", tmp_path / "run")
    wait_for(lambda: finishes(tmp_path) >= finished, process)
    family = sweep_process.descendants(process)
    process.kill()
    process.wait(timeout=10)
    sweep_process.end(family)
    before = read_ledger(tmp_path / "run").finished()
    again = sweep_process.run(tmp_path, sweep_config, "--storage", tmp_path / "run", timeout_s=300)
    assert again.returncode == 0, again.stdout + again.stderr
    reading = read_ledger(tmp_path / "run")
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert set(counts.values()) == {1}
    assert all(reading.finished()[record] == event for record, event in before.items())
    return reading


@pytest.mark.slow  # test_engines kills a search in the default run
def test_killed_driver_loses_and_repeats_nothing(tmp_path):
    assert len(killed_and_resumed(tmp_path, SHORT, 1).finished()) == RECORDS


@pytest.mark.slow
def test_a_killed_worker_of_the_inline_engine_costs_its_trial_one_attempt(tmp_path):
    arguments = "--storage", tmp_path / "run", "--engine", "inline", "--set", "resources.max_concurrent_trials=2"
    process = sweep_process.start(tmp_path, write_config(tmp_path, SHORT), *arguments)
    wait_for(lambda: read_ledger(tmp_path / "run").of_kind("epoch"), process)
    victim = sweep_process.descendants(process)[0]
    assert "sweep.execution.inline_worker" in victim.cmdline()
    victim.kill()
    assert process.wait(timeout=300) == 0, (tmp_path / "sweep.log").read_text()
    reading = read_ledger(tmp_path / "run")
    assert len(reading.finished()) == RECORDS and not reading.failed()
