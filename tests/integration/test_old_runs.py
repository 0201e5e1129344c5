"""The run folder of a killed sweep of version 0.1: the same command ends it, and nothing that was finished runs again."""

from collections import Counter

import pytest

from sweep.store.ledger import read_ledger
from tests.fakes.old_runs import CONFIG, HALF_FINISHED, old_run
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1000)]


@pytest.mark.parametrize("engine", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_half_finished_run_of_version_0_1_is_ended_by_the_same_command(tmp_path, engine):
    run = old_run(HALF_FINISHED, tmp_path / "run")
    before = read_ledger(run).finished()
    done = sweep_process.run(tmp_path, CONFIG, "--storage", run.local, "--engine", engine, timeout_s=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 records finished" in done.stdout
    reading = read_ledger(run)
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert len(counts) == 8 and {*counts.values()} == {1}
    assert before.items() <= reading.finished().items()
    started = {(event["signature"], event["seed"]) for event in reading.of_kind("start") if event["attempt"] == 2}
    assert not started & {*before} and (run.local / "report.html").exists()
