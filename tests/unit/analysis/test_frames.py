"""A run folder becomes frames; what is missing is empty, what is broken is told."""

import json

import pandas as pd
import pytest

from analysis.frames import load_run
from analysis.rank import FORMATS, as_table
from analysis.ranking import rank
from analysis.warnings import warnings
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, ledger_file, write_fake_run, write_ledger


def finish(signature, seed, **metrics):
    return {
        "event": "finish",
        "signature": signature,
        "seed": seed,
        "config": {"lr": 0.1},
        "study": {},
        "metrics": metrics,
        "seconds": {},
        "stages": [],
        "alarms": [],
    }


@pytest.fixture
def write(tmp_path):
    def write(*events):
        write_ledger(tmp_path, list(events))
        return tmp_path

    return write


def test_one_row_a_signature_and_seed(run):
    assert run.records.index.names == ["signature", "seed"]
    assert len(run.records) == 2 * 2 * 3 * 3
    assert len(run.means) == len(run.configs) == 12
    assert run.planned_records == 13 * 3
    assert run.damages == ()


def test_objectives_are_recorded_names(run):
    assert [objective.metric for objective in run.objectives] == [
        "auroc/target",
        "domain_gap",
        "robust_accuracy/target/worst@2/255",
    ]
    assert run.goals["domain_gap"] == "minimize"


def test_settings_absent_from_a_configuration_are_nan(run):
    without = run.configs[run.configs["colorizer"] == "none"]
    assert without["glcm_weight"].isna().all() and run.configs["glcm_weight"].notna().any()


def test_images_are_read_on_demand_and_kept(run):
    key = run.means.index[0]
    rows = run.predictions(key)
    assert set(rows["seed"]) == {0, 1, 2} and set(rows["split"]) == {"source_val", "source", "target"}
    assert run.predictions(key) is rows
    assert {"threat", "breaking_eps"} <= set(run.attacks(key))


def test_images_of_a_seed_that_did_not_finish_are_not_read(tmp_path):
    folder = write_fake_run(
        tmp_path / "r", FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), seeds=2, gallery=False)
    )
    path = ledger_file(folder)
    kept = [line for line in path.read_text().splitlines() if not ('"finish"' in line and '"seed": 1' in line)]
    path.write_text("\n".join(kept) + "\n")
    run = load_run(folder)
    assert set(run.predictions(run.means.index[0])["seed"]) == {0}


def test_a_run_without_images_gives_empty_frames(tmp_path):
    folder = write_fake_run(
        tmp_path / "r",
        FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), seeds=1, outcomes=False, gallery=False),
    )
    run = load_run(folder)
    key = run.means.index[0]
    assert len(run.predictions(key)) == len(run.attacks(key)) == len(run.gallery()) == len(run.gallery(key)) == 0


def test_epochs_stages_seconds_and_alarms(run):
    assert {"epoch", "loss/train", "auroc/source_val"} <= set(run.epochs)
    assert run.epochs["epoch"].max() == 4
    assert set(run.stages["stage"]) == {"generator", "pool"}
    assert run.seconds["total"].gt(0).all()
    assert list(run.alarms.columns) == ["signature", "seed", "alarm"]


def test_failures_leave_out_what_finished_later(write):
    failed = {"event": "failed", "signature": "a", "seed": 0, "config": {}, "kind": "OOM", "reason": "memory"}
    other = {**failed, "signature": "b"}
    run = load_run(write(failed, other, finish("a", 0, auroc=1.0)))
    assert run.failures.to_dict("records") == [{"signature": "b", "seed": 0, "kind": "OOM", "reason": "memory"}]


def test_a_damaged_line_is_left_out_and_told(write):
    folder = write(finish("a", 0, auroc=1.0), finish("b", 0, auroc=0.5))
    path = ledger_file(folder)
    path.write_text(path.read_text().replace('"auroc": 0.5', '"auroc": 0.9'))
    run = load_run(folder)
    assert list(run.means.index) == ["a"] and run.damages[0].line == 2


def test_alarms_may_be_objects(write):
    event = {**finish("a", 0, auroc=1.0), "alarms": [{"name": "masking", "message": "fgsm beats pgd"}, "plain"]}
    assert load_run(write(event)).alarms["alarm"].tolist() == ["fgsm beats pgd", "plain"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nowhere", "is no run folder"),
        (lambda folder: (folder / "records").mkdir() or folder, "no record has finished"),
    ],
)
def test_what_is_no_run_folder(tmp_path, make, words):
    with pytest.raises(InputError, match=words):
        load_run(make(tmp_path))


def test_a_broken_data_card_is_named(write):
    folder = write(finish("a", 0, auroc=1.0))
    (folder / "data.json").write_text("{")
    with pytest.raises(InputError, match="data.json.*is not JSON"):
        load_run(folder)


def test_fake_is_the_same_twice(tmp_path):
    small = FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), seeds=1)
    one, two = (write_fake_run(tmp_path / str(n) / "r", small) for n in (1, 2))
    assert (one / "records/0001.jsonl").read_text() == (two / "records/0001.jsonl").read_text()
    files = [path.relative_to(one) for path in one.rglob("*.parquet")]
    assert files
    for file in files:
        pd.testing.assert_frame_equal(pd.read_parquet(one / file), pd.read_parquet(two / file))
    assert json.loads((one / "data.json").read_text())["source"]["name"] == "phantom-a"


def stop(signature, seed, epoch=3):
    return {
        "event": "stopped",
        "signature": signature,
        "seed": seed,
        "config": {"lr": 0.5},
        "study": {},
        "epoch": epoch,
        "by": "halving",
        "reason": "7th of 9 at epoch 3",
        "metrics": {"auroc/source_val": 0.6},
    }


class TestStoppedEarly:
    def test_it_is_neither_failed_nor_ranked(self, write):
        failed = {"event": "failed", "signature": "b", "seed": 0, "config": {}, "kind": "FAILED", "reason": "killed"}
        run = load_run(write(finish("a", 0, **{"auroc/source_val": 0.9}), failed, stop("b", 0)))
        assert len(run.failures) == 0 and list(run.means.index) == ["a"]
        assert run.stopped.to_dict("records") == [
            {"signature": "b", "seed": 0, "epoch": 3, "by": "halving", "reason": "7th of 9 at epoch 3"}
        ]
        ranking = rank(run)
        assert [row.signature for row in ranking.rows] == ["a"] and ranking.stopped == 1 and ranking.rows[0].mark == ""
        assert "1 stopped early, not ranked" in as_table(ranking)

    def test_what_finished_after_all_is_no_stop(self, write):
        assert len(load_run(write(stop("a", 0), finish("a", 0, auroc=1.0))).stopped) == 0

    def test_a_configuration_that_rests_on_less_is_marked_everywhere(self, write):
        race = {
            "event": "race",
            "signature": "c",
            "state": "dropped",
            "seeds": 2,
            "reason": "behind a in every objective",
        }
        done = {**race, "signature": "a", "state": "done"}
        metrics = {"auroc/source_val": 0.9}
        run = load_run(
            write(
                finish("a", 0, **metrics),
                finish("b", 0, **metrics),
                finish("c", 0, **metrics),
                stop("b", 1, epoch=2),
                race,
                done,
            )
        )
        marks = {row.signature: row.mark for row in rank(run).rows}
        assert marks == {
            "a": "",
            "b": "seed 1 stopped after epoch 2 by halving: 7th of 9 at epoch 3",
            "c": "dropped from the race, seeds 2: behind a in every objective",
        }
        for form in FORMATS.values():
            assert all(words in form(rank(run)) for words in marks.values())
        assert any("2 ranked configurations rest on fewer seeds" in warning.headline for warning in warnings(run))


def test_an_objective_on_the_source_stays_there(write):
    asked = {
        "event": "sweep",
        "name": "q",
        "objectives": [
            {"metric": "robust_accuracy", "goal": "maximize", "threat": "worst", "eps": "1/255", "split": "source"}
        ],
    }
    numbers = {f"robust_accuracy/{split}/worst@1/255": 0.5 for split in ("source", "target")}
    assert load_run(write(asked, finish("a", 0, **numbers))).goals == {"robust_accuracy/source/worst@1/255": "maximize"}


@pytest.mark.parametrize(("trials", "left"), [(2, 0), (3, 2)])
def test_a_stopped_configuration_owes_no_further_seed(write, trials, left):
    """Two seeds each: one configuration has both, the other was stopped at its first."""
    head = {"event": "sweep", "trials": trials, "seeds": 2}
    run = load_run(write(head, finish("a", 0, auroc=1.0), finish("a", 1, auroc=1.0), stop("b", 0)))
    assert run.planned_records == 2 * trials and len(run.stopped) == 1
    assert run.unfinished == left
