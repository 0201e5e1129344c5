"""The run folder of a killed sweep of version 0.1: the same command ends it, and nothing that was finished runs again."""

import json
import shutil
from collections import Counter

import pytest

from recipe_finder.__main__ import main
from sweep.store.ledger import read_ledger
from tests.fakes.old_runs import CONFIG, FINISHED, HALF_FINISHED, old_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1000)]


def almost_finished(folder):
    """The finished run as its driver leaves it that is killed before it writes the last record."""
    run = old_run(FINISHED, folder)
    ledger = run.local / "records" / "0001.jsonl"
    *lines, last = ledger.read_text().splitlines(keepends=True)
    lost = json.loads(last)
    assert lost["event"] == "finish"
    ledger.write_text("".join(lines))
    shutil.rmtree(run.local / "trials" / lost["signature"] / f"seed-{lost['seed']}")
    return run


def half_finished(folder):
    return old_run(HALF_FINISHED, folder)


@pytest.mark.parametrize(
    ("left", "engine"),
    [
        (almost_finished, "inline"),
        pytest.param(half_finished, "inline", marks=pytest.mark.slow),
        pytest.param(half_finished, "ray", marks=pytest.mark.slow),
    ],
)
def test_an_unfinished_run_of_version_0_1_is_ended_by_the_same_command(tmp_path, capfd, left, engine):
    run = left(tmp_path / "run")
    before = read_ledger(run).finished()
    assert len(before) < 8
    one_process = ["--set", "resources.max_concurrent_trials=1"] if engine == "inline" else []
    assert main(["run", str(CONFIG), "--storage", str(run.local), "--engine", engine, *one_process]) == 0
    assert "8 of 8 records finished" in capfd.readouterr().out
    reading = read_ledger(run)
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert len(counts) == 8 and {*counts.values()} == {1}
    assert before.items() <= reading.finished().items()
    started = {(event["signature"], event["seed"]) for event in reading.of_kind("start") if event["attempt"] == 2}
    assert not started & {*before} and (run.local / "report.html").exists()
