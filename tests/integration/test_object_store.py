"""A whole sweep whose results and shards lie in an object store: nothing of the run stays on this machine."""

import json

import pytest

from analysis.frames import load_run
from sweep.core.storage import Storage
from sweep.importers import import_dataset
from sweep.store.ledger import FOLDER, read_ledger
from tests.fakes.object_store import BUCKET, object_store
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.extended, pytest.mark.timeout(420)]
RUN = f"s3://{BUCKET}/runs/tiny"
TARGET = f"s3://{BUCKET}/shards/b"
SWEEP_CONFIG = (
    TEXT.replace("target: phantom-b", f"target: {TARGET}")
    .replace("colorizer: [none, pixelshuffle]", "colorizer: [none]")
    .replace("seeds: 2", "seeds: 1")
    + "resources: {max_concurrent_trials: 1}\n"
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    home = tmp_path_factory.mktemp("s3")
    with object_store() as found_by:
        import_dataset("phantom-b", None, TARGET, patients=40)
        sweep_config = write_config(home, SWEEP_CONFIG)
        done = sweep_process.run(home, sweep_config, "--storage", RUN, "--engine", "inline", timeout_s=300, **found_by)
        assert done.returncode == 0, done.stdout + done.stderr
        yield home, sweep_config, done, found_by


def test_report_is_in_the_store_and_named_last(swept):
    _, _, done, _ = swept
    assert done.stdout.strip().splitlines()[-1] == f"report: {RUN}/report.html"
    assert done.stderr == ""
    assert b"<html" in Storage(RUN).read("report.html")[:2000]


def test_nothing_of_the_run_stays_on_this_machine(swept):
    home, *_ = swept
    assert not (home / "results").exists() and not (home / "s3:").exists()


def test_ledger_is_whole_and_in_few_segments(swept):
    reading = read_ledger(RUN)
    assert reading.damages == [] and len(reading.finished()) == 2
    assert len(Storage(RUN).names(FOLDER)) < len(reading.events)


def test_what_trials_leave_is_there(swept):
    run, place = load_run(RUN), Storage(RUN)
    signature = run.records.index[0][0]
    assert len(run.predictions(signature)) and len(run.attacks(signature)) and len(run.gallery())
    assert place.names(f"tensorboard/{signature}/seed-0")
    kinds = [
        json.loads(place.read(f"artifacts/{name}/meta.json"))["kind"]
        for name in place.names("artifacts")
        if place.exists(f"artifacts/{name}/meta.json")
    ]
    assert sorted(kinds) == ["generator", "pool", "pool"]


@pytest.mark.slow
def test_same_command_again_runs_nothing_twice(swept):
    home, sweep_config, _, found_by = swept
    before = read_ledger(RUN).of_kind("finish")
    again = sweep_process.run(home, sweep_config, "--storage", RUN, "--engine", "inline", timeout_s=120, **found_by)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 2 records finished" in again.stdout and read_ledger(RUN).of_kind("finish") == before


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_refused_at_once(swept):
    home, sweep_config, _, found_by = swept
    done = sweep_process.run(home, sweep_config, "--storage", "s3://absent/run", timeout_s=60, **found_by)
    assert done.returncode == 2 and "s3://absent/run: cannot write" in done.stderr
