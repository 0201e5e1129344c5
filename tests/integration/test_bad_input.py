"""Bad input ends with exit code 2 and one message that names file, place, value and fix; nothing half-written."""

import fcntl
import json

import pytest
import torch
from typer.testing import CliRunner

from sweep.run import main
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration import sweep_process

command = main.app()


def refuse(*arguments, says):
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert done.exit_code == 2, (done.output, done.exception)
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    for part in says:
        assert part in done.stderr, done.stderr
    return done


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.timeout(120)
def test_as_a_process_there_is_no_traceback_either(tmp_path):
    done = sweep_process.run(tmp_path, write_config(tmp_path, TEXT.replace("seeds: 2", "seds: 2")), timeout_s=90)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1] == "  line 7, seds: unknown key; did you mean seeds?"


def test_missing_shard_folder(tmp_path):
    sweep_config = write_config(tmp_path, TEXT.replace("source: phantom-a", "source: shards/none"))
    refuse(sweep_config, says=["shards/none", "no such shard folder", "python -m sweep.importers"])


def test_empty_shard_folder(tmp_path):
    (tmp_path / "shards").mkdir()
    sweep_config = write_config(tmp_path, TEXT.replace("source: phantom-a", "source: shards"))
    refuse(sweep_config, says=["shards", "manifest.json"])


def test_manifest_that_does_not_match(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": 1}))
    sweep_config = write_config(tmp_path, TEXT.replace("source: phantom-a", "source: shards"))
    refuse(sweep_config, says=["manifest.json"])


def test_several_mistakes_in_one_message(tmp_path):
    text = (
        TEXT.replace("colorizer: [none, pixelshuffle]", "colorizer: [non]")
        .replace("small_cnn", "resnet81")
        .replace("seeds: 2", "seds: 2")
    )
    refuse(
        write_config(tmp_path, text),
        says=["3 mistakes", "line 4", "did you mean none?", "did you mean resnet18?", "did you mean seeds?"],
    )
    assert not (tmp_path / "results").exists()


def test_more_training_images_than_there_are(tmp_path):
    text = TEXT.replace("phantom_patients: 40", "phantom_patients: 40, train_images: 5000")
    refuse(write_config(tmp_path, text), says=["5000 asked for"])


@pytest.mark.parametrize(
    ("content", "violation"),
    [("absent", "no such weights file"), ("garbage", "not a readable weights file"), ("misfit", "w.pth")],
)
def test_weights_that_cannot_be_used(tmp_path, content, violation):
    path = tmp_path / "w.pth"
    if content == "garbage":
        path.write_bytes(b"not weights")
    elif content == "misfit":
        torch.save({"conv1.weight": torch.zeros(3, 3)}, path)
    sweep_config = write_config(
        tmp_path, TEXT.replace("fixed: {backbone: small_cnn", f"fixed: {{weights: {path}, backbone: resnet10t")
    )
    run = tmp_path / "run"
    refuse(
        sweep_config,
        "--storage",
        run,
        "--engine",
        "inline",
        says=["w.pth", violation] + ["resnet10t"] * (content == "misfit"),
    )
    assert not (tmp_path / "run" / "trials").exists()


def test_override_without_a_value(tmp_path):
    done = CliRunner().invoke(command, [str(write_config(tmp_path)), "--set", "data.image_px"])
    assert done.exit_code == 2 and "data.image_px" in done.stderr


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    refuse(write_config(tmp_path), "--storage", tmp_path / "file", says=[str(tmp_path / "file")])


def test_second_driver_is_told_who_holds_the_folder(tmp_path):
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / "driver.lock", "w") as lock:
        lock.write("process 1 on elsewhere\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        refuse(
            write_config(tmp_path),
            "--storage",
            tmp_path / "run",
            says=["another sweep writes there (process 1 on elsewhere)"],
        )
