"""The whole pipeline on two CPUs: two trials at once with Ray Data in the path, then the same command again."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from sweep.core.storage import Storage
from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import write_config
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]
RECORDS = 8  # two colorizers, two ratios, two seeds


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    home = tmp_path_factory.mktemp("sweep")
    sweep_config = write_config(home)
    done = sweep_process.run(home, sweep_config, "--storage", home / "run", timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return home, sweep_config, done


def test_report_is_named_last_and_is_there(sweep):
    home, _, done = sweep
    last = done.stdout.strip().splitlines()[-1]
    assert last == f"report: {home / 'run' / 'report.html'}"
    assert "<html" in (home / "run" / "report.html").read_text()[:2000]


def test_output_is_ours_alone(sweep):
    _, _, done = sweep
    assert done.stderr == ""
    for chatter in ("(raylet)", "INFO", "WARNING", "Traceback"):
        assert chatter not in done.stdout


def test_one_finish_per_configuration_and_seed(sweep):
    home, *_ = sweep
    reading = read_ledger(home / "run")
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert len(counts) == RECORDS and set(counts.values()) == {1}
    assert reading.damages == []
    kinds = Counter(event["event"] for event in reading.events)
    assert kinds["start"] == RECORDS and kinds["epoch"] == 2 * RECORDS and kinds["failed"] == 0


def test_records_hold_every_promised_metric(sweep):
    home, *_ = sweep
    for event in read_ledger(home / "run").of_kind("finish"):
        metrics = event["metrics"]
        for split in ("source", "target"):
            for name in ("auroc", "balanced_accuracy", "accuracy", "constant_accuracy"):
                assert 0 <= metrics[f"{name}/{split}"] <= 1
            for eps in ("1/255", "4/255"):
                worst = metrics[f"robust_accuracy/{split}/worst@{eps}"]
                assert worst <= min(metrics[f"robust_accuracy/{split}/{threat}@{eps}"] for threat in ("fgsm", "pgd"))
        assert metrics["domain_gap"] == pytest.approx(metrics["auroc/source"] - metrics["auroc/target"])


def test_generator_is_trained_once_for_all_trials(sweep):
    home, *_ = sweep
    metas = [json.loads(path.read_text()) for path in (home / "run" / "artifacts").glob("*/meta.json")]
    assert Counter(meta["kind"] for meta in metas) == {"generator": 1, "pool": 2}
    reading = read_ledger(home / "run")
    stages = {
        event["signature"]: event["stages"]
        for event in reading.of_kind("finish")
        if event["config"]["synthetic_per_real"]
    }
    computed = [
        item for obtained in stages.values() for item in obtained if item["stage"] == "generator" and not item["reused"]
    ]
    assert len(stages) == 2 and len(computed) == 1


def test_galleries_show_what_went_in_and_what_came_out(sweep):
    home, *_ = sweep
    kinds = Counter()
    for path in (home / "run").rglob("gallery.parquet"):
        frame = pd.read_parquet(path)
        assert all(picture.startswith(b"\x89PNG") for picture in frame["png"])
        kinds.update(frame["kind"])
    assert set(kinds) == {
        "source",
        "target",
        "colorized",
        "synthetic",
        "nearest_real",
        "adversarial",
        "clean",
        "perturbation",
        "colorized_before",
        "colorized_after",
    }


def test_outcomes_are_kept_per_image(sweep):
    home, *_ = sweep
    folder = next((home / "run" / "trials").glob("*/seed-0"))
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert set(predictions["split"]) == {"source_val", "source", "target"}
    assert all(len(logits) == 2 for logits in predictions["logits"])
    attacks = pd.read_parquet(folder / "attacks.parquet")
    assert len(attacks) == 2 * 2 * 8  # threats, splits, images


def test_no_group_is_in_two_folds(sweep):
    home, *_ = sweep
    split = pd.read_parquet(home / "run" / "split.parquet")
    used = split[split["fold"] != "unused"]
    assert used.groupby("group")["fold"].nunique().max() == 1


def test_same_command_again_runs_nothing_twice(sweep):
    home, sweep_config, _ = sweep
    before = read_ledger(home / "run").of_kind("finish")
    again = sweep_process.run(home, sweep_config, "--storage", home / "run", timeout_s=120)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "8 of 8 records finished" in again.stdout
    assert read_ledger(home / "run").of_kind("finish") == before


def test_another_sweep_config_in_the_same_folder_is_refused(sweep):
    home, sweep_config, _ = sweep
    other = sweep_process.run(home, sweep_config, "--storage", home / "run", "--set", "fixed.lr=0.1", timeout_s=60)
    assert other.returncode == 2
    assert "fixed.lr was 0.002 and is 0.1" in other.stderr


def test_plan_of_a_finished_run_has_nothing_to_do(sweep):
    home, sweep_config, _ = sweep
    plan = sweep_process.run(home, sweep_config, "--storage", home / "run", "--plan", timeout_s=60)
    assert plan.returncode == 0
    rows = {
        line.split()[0]: line.split()[1:]
        for line in plan.stdout.splitlines()
        if line.startswith(("generator", "record"))
    }
    assert rows == {"generator": ["1", "1", "0"], "record": ["8", "8", "0"]}


def test_a_record_replayed_without_ray_gives_the_same_numbers(sweep):
    home, *_ = sweep
    mixed = next(
        event
        for event in read_ledger(home / "run").of_kind("finish")
        if event["config"]["synthetic_per_real"] and event["seed"] == 1
    )
    command = [sys.executable, "-m", "sweep.replay", str(home / "run"), mixed["signature"], "--seed", "1"]
    done = subprocess.run(
        command, cwd=home, env=sweep_process.environment(home), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(mixed['metrics'])} of {len(mixed['metrics'])} metrics are the same" in done.stdout


def test_an_exported_model_predicts_what_was_recorded(sweep):
    import torch

    from sweep.data.datasets import Data
    from sweep.evaluation.evaluate import predict
    from sweep.export import load_exported

    home, *_ = sweep
    event = read_ledger(home / "run").of_kind("finish")[0]
    command = [
        sys.executable,
        "-m",
        "sweep.export",
        str(home / "run"),
        event["signature"],
        str(home / "out"),
        "--seed",
        str(event["seed"]),
    ]
    for code in (0, 2):  # a second export into the same folder is refused
        done = subprocess.run(
            command,
            cwd=home,
            env=sweep_process.environment(home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
    assert "holds a model already" in done.stderr and "Traceback" not in done.stderr
    torch.set_num_threads(1)
    fold = Data.load(Storage(home / "run")).read("test")
    logits = predict(load_exported(home / "out"), fold.images, 128)
    kept = pd.read_parquet(
        home / "run" / "trials" / event["signature"] / f"seed-{event['seed']}" / "predictions.parquet"
    )
    recorded = np.stack(kept[kept["split"] == "source"]["logits"])
    assert np.allclose(logits, recorded, atol=1e-5)
    card = (home / "out" / "MODEL_CARD.md").read_text()
    assert "Not for clinical use" in card and "| auroc/target |" in card
