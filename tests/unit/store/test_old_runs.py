"""Run folders of version 0.1 are ranked, reported and resumed by this version, and by one with more settings and config keys."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from pydantic import Field
from ruamel.yaml import YAML

import sweep.run
from analysis.frames import load_run
from analysis.leaderboard import leaderboard
from analysis.ranking import rank
from analysis.report import write_report
from sweep.config.hyperparameters import HYPERPARAMETERS, complete, identity, restored
from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.hyperparameter import FIRST, Hyperparameter
from sweep.core.storage import Storage
from sweep.data.datasets import Data, prepare
from sweep.pipeline.stages import needed_stages
from sweep.planning.plan import make_plan
from sweep.store import run_folder
from sweep.store.artifact_store import ArtifactStore
from sweep.store.ledger import read_ledger
from sweep.store.trial import Trial
from sweep.synth.generators import GENERATORS
from sweep.synth.settings import LATER
from tests.fakes.old_runs import CONFIG, FINISHED, HALF_FINISHED, RECORDS, RUNS, old_config, old_run

SIGNATURES = {"197af40cfa5c", "28d1a69dc0b2", "6e0fd8b79f36", "f52293e6eb77"}
LATER_ROWS = {  # settings that a later version might add
    "as its default does": Hyperparameter("later", "a later setting", (float,), 0.5, since="0.2"),
    "unlike its default": Hyperparameter("later", "a later setting", (str,), "new way", since="0.2", before="old way"),
    "without a value": Hyperparameter("later", "a later setting", (int,), 3, optional=True, since="0.2", before=None),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A run folder with the simulated shards of the old sweep config."""
    run = Storage(tmp_path_factory.mktemp("shards"))
    prepare(old_config().data, run)
    return run.local


@pytest.fixture(params=[FINISHED, HALF_FINISHED])
def run(request, tmp_path, shards):
    return old_run(request.param, tmp_path / request.param, shards)


@pytest.fixture
def finished(tmp_path, shards):
    return old_run(FINISHED, tmp_path / FINISHED, shards)


@pytest.fixture(params=LATER_ROWS)
def later_row(request, monkeypatch):
    monkeypatch.setitem(HYPERPARAMETERS, "later", LATER_ROWS[request.param])
    return LATER_ROWS[request.param]


def plan_of(run):
    data = prepare(old_config().data, run)
    return make_plan(old_config(), data, read_ledger(run))


def finish_counts(run):
    events = read_ledger(run).of_kind("finish")
    return Counter((event["signature"], event["seed"]) for event in events)


def jobs_left(plan):
    found = []
    while job := plan.campaign.next_job():
        found += [(job.signature, seed) for seed in job.seeds]
        for seed in job.seeds:
            plan.campaign.settle(job.signature, seed, [0.5, 0.1, 0.5])
    return found


def resume(run, monkeypatch):
    """The command of the sweep again, with the finished folder as its storage; nothing may be left to compute. Writes no report."""

    def refuse(*args):
        raise AssertionError("a record was about to be computed again")

    monkeypatch.setattr(sweep.run, "_run_left", refuse)
    monkeypatch.setattr("analysis.report.write_report", lambda folder, path: path)
    return sweep.run.run_sweep(CONFIG, {}, False, False, run.url, None)


class TestToday:
    def test_it_is_ranked(self, run):
        read = load_run(run.url)
        assert len(read.records) == RECORDS[run.local.name] and not read.damages
        ranked = [row.signature for row in rank(read).rows]
        assert sorted(ranked) == sorted({key for key, _ in read.records.index})

    def test_it_is_reported(self, run, tmp_path):
        page = write_report(run.url, tmp_path / "report.html")
        text = (tmp_path / "report.html").read_text()
        assert page and all(signature in text for signature, _ in load_run(run.url).records.index)

    def test_its_records_are_settled_and_only_the_others_run(self, run):
        plan = plan_of(run)
        done = finish_counts(run)
        assert plan.settled() == RECORDS[run.local.name] == len(done)
        left = jobs_left(plan)
        assert len(left) + len(done) == plan.campaign.expected_records == 8
        assert not {*left} & {*done} and {signature for signature, _ in [*left, *done]} == SIGNATURES

    def test_its_artifacts_are_found_by_their_names(self, run):
        plan = plan_of(run)
        stages = needed_stages(plan.foreseen, plan.data)
        store = ArtifactStore(run)
        assert {stage.kind for stage in stages} == {"generator", "pool"}
        assert all(store.meta(stage) is not None for stage in stages)

    def test_a_later_setting_of_generators_leaves_them_found(self, run, monkeypatch):
        later = replace(GENERATORS["wgan_diffaug"], defaults={**GENERATORS["wgan_diffaug"].defaults, "later": 0.5})
        monkeypatch.setitem(GENERATORS, "wgan_diffaug", later)
        plan = plan_of(run)
        before = {stage.hash for stage in needed_stages(plan.foreseen, plan.data)}
        monkeypatch.setitem(LATER, "later", 0.5)
        now = {stage.hash for stage in needed_stages(plan.foreseen, plan.data)}
        found = {name for name in run.names("artifacts") if run.exists(f"artifacts/{name}/meta.json")}
        assert now == found and not before & found

    def test_a_finished_one_is_resumed_without_computing_anything(self, finished, monkeypatch):
        assert resume(finished, monkeypatch) == EXIT_COMPLETE
        assert {*finish_counts(finished).values()} == {1} and len(finish_counts(finished)) == 8

    def test_every_configuration_of_its_records_is_complete_and_names_its_trial(self, run):
        data = prepare(old_config().data, run)
        for event in read_ledger(run).of_kind("finish"):
            assert identity(restored(event["config"])) == event["config"] == identity(event["config"])
            trial = Trial(event["config"], data.seen_by(event["config"]).hash, (0,))
            assert trial.signature == event["signature"] and run.exists(trial.seed_folder(0))

    def test_shards_are_found_where_the_folder_was_moved_to(self, finished, tmp_path):
        data = Data.load(finished)
        assert data.source.startswith(finished.url) and len(data.read("test")) == 13
        data.save(finished, json.loads(finished.read("data.json")))
        shutil.move(finished.local, tmp_path / "elsewhere")
        moved = Data.load(Storage(tmp_path / "elsewhere"))
        assert moved.hash == data.hash and len(moved.read("target")) == len(data.fold("target"))


class TestOneMoreSetting:
    def test_every_record_stays_settled_under_its_signature(self, run, later_row):
        plan = plan_of(run)
        done = finish_counts(run)
        assert plan.settled() == RECORDS[run.local.name]
        assert not {*jobs_left(plan)} & {*done} and {*plan.campaign.candidates} == SIGNATURES

    def test_the_folder_is_resumed_and_the_report_holds_each_recipe_once(self, finished, later_row, monkeypatch):
        assert resume(finished, monkeypatch) == EXIT_COMPLETE
        assert {*finish_counts(finished).values()} == {1} and len(finish_counts(finished)) == 8
        read = load_run(finished.url)
        rows = leaderboard(read, rank(read)).rows
        assert sorted(row.signature for row in rows) == sorted(SIGNATURES)
        assert len({row.label for row in rows}) == len(SIGNATURES)

    def test_what_a_record_lacks_has_the_value_it_had_then(self, finished, later_row):
        for event in read_ledger(finished).of_kind("finish"):
            found = restored(event["config"])
            assert found["later"] == later_row.introduced_with and event["config"].items() <= found.items()
            assert identity(found) == event["config"]

    def test_a_new_folder_has_todays_default(self, later_row):
        config = complete({"backbone": "small_cnn"})
        assert config["later"] == later_row.default
        old = Trial(restored({**config, "later": later_row.introduced_with}), "data", (0,)).signature
        assert (Trial(config, "data", (0,)).signature == old) == (later_row.default == later_row.introduced_with)

    def test_values_other_than_the_first_one_are_different_trials(self, later_row):
        config = complete({"backbone": "small_cnn"})
        names = {Trial({**config, "later": value}, "data", (0,)).signature for value in (0.25, "third way", 7)}
        assert len(names) == 3


def test_a_folder_keeps_the_defaults_that_it_began_with(finished, monkeypatch):
    assert resume(finished, monkeypatch) == EXIT_COMPLETE  # the second attempt notes the defaults of version 0.1
    monkeypatch.setitem(HYPERPARAMETERS, "weight_decay", replace(HYPERPARAMETERS["weight_decay"], default=0.2))
    assert resume(finished, monkeypatch) == EXIT_COMPLETE
    assert {key for key, _ in finish_counts(finished)} == SIGNATURES and complete({})["weight_decay"] == 0.2


class TestOneMoreConfigKey:
    def test_a_key_that_the_folder_does_not_know_yet_changes_nothing(self, finished, monkeypatch):
        later = type("Later", (SweepConfig,), {"__annotations__": {"later": int}, "later": Field(3)})
        monkeypatch.setattr(run_folder, "SweepConfig", later)
        asked = later.model_validate(old_config().model_dump())
        run_folder.check_same_config(finished, asked)
        with pytest.raises(InputError, match="later was 3 and is 4"):
            run_folder.check_same_config(finished, asked.model_copy(update={"later": 4}))

    def test_keys_that_came_after_the_folder_have_their_defaults(self, finished):
        tree = YAML(typ="safe", pure=True).load(finished.read("space.yaml").decode())
        del tree["data"]["conflicts"], tree["threats"]["mode"], tree["seeds"]["race"]
        with open(finished.local / "space.yaml", "w") as stream:
            YAML(typ="safe", pure=True).dump(tree, stream)
        run_folder.check_same_config(finished, old_config())
        with pytest.raises(InputError, match="data.conflicts was 'drop' and is 'keep'"):
            changed = old_config().data.model_copy(update={"conflicts": "keep"})
            run_folder.check_same_config(finished, old_config().model_copy(update={"data": changed}))

    def test_a_folder_of_a_later_version_is_refused_with_the_place(self, finished):
        with open(finished.local / "space.yaml", "a") as stream:
            stream.write("from_the_future: 1\n")
        with pytest.raises(InputError, match=r"space.yaml: from_the_future .*; go on with the version that wrote"):
            run_folder.check_same_config(finished, old_config())


def test_rows_are_those_of_version_0_1_or_say_since_when_they_exist():
    """Without `since` a new row orphans every record; with another `introduced_with` an old folder resumes as another sweep."""
    old = json.loads((RUNS / "settings_0_1.json").read_text())
    assert {name: row.introduced_with for name, row in HYPERPARAMETERS.items() if row.since == FIRST} == old


def test_the_fixtures_are_as_version_0_1_wrote_them():
    for name, records in RECORDS.items():
        reading = read_ledger(RUNS / name)
        assert not reading.damages and len(reading.finished()) == records
        assert {event["attempt"] for event in reading.events} == {1}
