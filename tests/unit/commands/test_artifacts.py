"""What nothing needs is listed and, when asked for, removed; what a sweep config or a running sweep needs stays."""

import fcntl
import shutil

import pytest

from sweep.artifacts import artifacts, collect
from sweep.config.load import load_config
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.pipeline.stages import needed_stages
from sweep.planning.plan import make_plan
from sweep.store.artifact_store import ArtifactStore, Stage
from sweep.store.ledger import read_ledger
from sweep.store.run_folder import opened
from tests.fakes.sweep_config import write_config


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A run whose sweep config needs a generator and two pools; beside them an old generator, half a pool and data of a smaller hospital."""
    home = tmp_path_factory.mktemp("artifacts")
    run = Storage(home / "run")
    sweep_config = load_config(write_config(home), {}, False)
    with opened(run, sweep_config):
        data = prepare(sweep_config.data, run)
        prepare(sweep_config.data.model_copy(update={"phantom_patients": 20}), run)
        data.save(run, {})
    store = ArtifactStore(run)
    for stage in (
        *needed_stages(make_plan(sweep_config, data, read_ledger(run)).foreseen, data),
        Stage("generator", 0, {"generator": "old"}),
    ):
        store.compute(stage, lambda stage, store: store.write(stage, "data", b"x") or {})
    store.write(Stage("pool", 0, {}), "data", b"half")
    return run.local


@pytest.fixture
def folder(made_once, tmp_path):
    return Storage(shutil.copytree(made_once, tmp_path / "run"))


def kinds(found):
    return sorted(one.kind for one in found)


def test_every_artifact_is_listed_with_what_needs_it(folder):
    found = artifacts(folder)
    assert kinds(one for one in found if one.kept_by) == ["data", "data", "generator", "pool", "pool"]
    assert {one.kept_by for one in found if one.kind == "pool"} == {"the sweep config"}
    assert kinds(one for one in found if not one.kept_by) == ["data", "data", "generator", "unfinished"]


def test_listing_removes_nothing_and_deleting_removes_what_nothing_needs(folder):
    before = folder.names("artifacts")
    assert kinds(artifacts(folder)) and folder.names("artifacts") == before
    assert kinds(collect(folder, keep=["data"])) == ["generator", "unfinished"]
    assert kinds(collect(folder)) == ["data", "data"]
    assert all(one.kept_by for one in artifacts(folder)) and collect(folder) == []


def test_what_is_kept_by_hand_stays(folder):
    idle = next(one for one in artifacts(folder) if one.kind == "generator" and not one.kept_by)
    assert idle.name not in [one.name for one in collect(folder, keep=[idle.name[:6]])]
    with pytest.raises(InputError, match="--keep generater.*did you mean generator"):
        artifacts(folder, keep=["generater"])


def test_artifacts_of_a_running_sweep_are_not_removed(folder):
    before = folder.names("artifacts")
    with open(folder.local / "driver.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another sweep writes there"):
            collect(folder)
    assert folder.names("artifacts") == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no space.yaml"):
        artifacts(Storage(tmp_path))
