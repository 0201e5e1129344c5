"""How a sweep is spread changes none of its results: a Train run per trial, several workers per trial, streamed images."""

import pytest

from recipe_finder.__main__ import main
from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]
SMALL = (
    TEXT.replace("synthetic_per_real: [0, 0.5]", "synthetic_per_real: [0]")
    .replace("epochs: 2", "epochs: 3, augment: none")
    .replace("seeds: 2", "seeds: 1")
)


def sweep(folder, *settings, engine="inline"):
    """The ledger of the finished sweep; on the inline engine in this process."""
    folder.mkdir()
    words = ["--storage", folder / "run", "--engine", engine]
    words += [word for setting in settings for word in ("--set", setting)]
    words = [str(word) for word in (write_config(folder, SMALL), *words)]
    if engine == "inline":
        assert main(["run", *words, "--set", "resources.max_concurrent_trials=1"]) == 0
    else:
        done = sweep_process.run(folder, *words, timeout_s=200)
        assert done.returncode == 0, done.stdout + done.stderr
    return read_ledger(folder / "run")


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("usual") / "sweep")


def losses(reading):
    return {(event["signature"], event["epoch"]): event["metrics"]["loss/train"] for event in reading.of_kind("epoch")}


@pytest.mark.slow
def test_one_train_run_per_trial_gives_the_same_numbers(usual, tmp_path):
    plain = sweep(tmp_path / "plain", "resources.reuse_workers=false", engine="ray")
    assert {record: event["metrics"] for record, event in plain.finished().items()} == {
        record: event["metrics"] for record, event in usual.finished().items()
    }


@pytest.mark.slow  # tests/unit/training/test_workers.py trains with two in the default run
def test_two_workers_follow_the_loss_curve_of_one(tmp_path):
    """With a network whose loss is a mean over images: batch norm would see half a batch on each worker."""
    settings = ("grid.colorizer=[none]", "fixed.backbone=test_vit", "fixed.precision=fp32")
    together = losses(sweep(tmp_path / "together", "resources.workers=2", *settings, engine="ray"))
    alone = losses(sweep(tmp_path / "alone", *settings))
    assert together.keys() == alone.keys()
    for epoch, loss in alone.items():
        assert together[epoch] == pytest.approx(loss, rel=0.02)


@pytest.mark.parametrize(
    "engine", [pytest.param("inline", marks=pytest.mark.extended), pytest.param("ray", marks=pytest.mark.slow)]
)
def test_streamed_from_the_shards_gives_the_same_numbers(usual, tmp_path, engine):
    streamed = sweep(tmp_path / "streamed", "data.loading=stream", engine=engine)
    assert {record: event["metrics"] for record, event in streamed.finished().items()} == {
        record: event["metrics"] for record, event in usual.finished().items()
    }
