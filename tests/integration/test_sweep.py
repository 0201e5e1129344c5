"""The whole pipeline on the inline engine, where Ray, Optuna and torchattacks are not installed: sweep, resume, plan, rank, replay, export."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from recipe_finder.__main__ import main
from sweep.core.storage import Storage
from sweep.store.ledger import read_ledger

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]
RECORDS = 8  # two colorizers, two ratios, two seeds


def test_report_is_named_last_and_is_there(inline_sweep):
    home, done = inline_sweep.home, inline_sweep.done
    last = done.stdout.strip().splitlines()[-1]
    assert last == f"report: {home / 'run' / 'report.html'}"
    assert "<html" in (home / "run" / "report.html").read_text()[:2000]


def test_output_is_ours_alone(inline_sweep):
    done = inline_sweep.done
    assert done.stderr == ""
    for chatter in ("(raylet)", "INFO", "WARNING", "Traceback"):
        assert chatter not in done.stdout


def test_one_finish_per_configuration_and_seed(inline_sweep):
    home = inline_sweep.home
    reading = read_ledger(home / "run")
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert len(counts) == RECORDS and set(counts.values()) == {1}
    assert reading.damages == []
    kinds = Counter(event["event"] for event in reading.events)
    assert kinds["start"] == RECORDS and kinds["epoch"] == 2 * RECORDS and kinds["failed"] == 0


def test_records_hold_every_promised_metric(inline_sweep):
    home = inline_sweep.home
    for event in read_ledger(home / "run").of_kind("finish"):
        metrics = event["metrics"]
        for split in ("source", "target"):
            for name in ("auroc", "balanced_accuracy", "accuracy", "constant_accuracy"):
                assert 0 <= metrics[f"{name}/{split}"] <= 1
            for eps in ("1/255", "4/255"):
                worst = metrics[f"robust_accuracy/{split}/worst@{eps}"]
                assert worst <= min(metrics[f"robust_accuracy/{split}/{threat}@{eps}"] for threat in ("fgsm", "pgd"))
        assert metrics["domain_gap"] == pytest.approx(metrics["auroc/source"] - metrics["auroc/target"])


def test_generator_is_trained_once_for_all_trials(inline_sweep):
    home = inline_sweep.home
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


def test_galleries_show_what_went_in_and_what_came_out(inline_sweep):
    home = inline_sweep.home
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


def test_outcomes_are_kept_per_image(inline_sweep):
    home = inline_sweep.home
    folder = next((home / "run" / "trials").glob("*/seed-0"))
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert set(predictions["split"]) == {"source_val", "source", "target"}
    assert all(len(logits) == 2 for logits in predictions["logits"])
    attacks = pd.read_parquet(folder / "attacks.parquet")
    assert len(attacks) == 2 * 2 * 8  # threats, splits, images


def test_no_group_is_in_two_folds(inline_sweep):
    home = inline_sweep.home
    split = pd.read_parquet(home / "run" / "split.parquet")
    used = split[split["fold"] != "unused"]
    assert used.groupby("group")["fold"].nunique().max() == 1


def test_same_command_again_runs_nothing_twice(inline_sweep, capsys):
    home = inline_sweep.home
    before = read_ledger(home / "run").of_kind("finish")
    assert inline_sweep.again() == 0
    assert "8 of 8 records finished" in capsys.readouterr().out
    assert read_ledger(home / "run").of_kind("finish") == before


def test_another_sweep_config_in_the_same_folder_is_refused(inline_sweep, capsys):
    assert inline_sweep.again("--set", "fixed.lr=0.1") == 2
    assert "fixed.lr was 0.002 and is 0.1" in capsys.readouterr().err


def test_plan_of_a_finished_run_has_nothing_to_do(inline_sweep, capsys):
    assert inline_sweep.again("--plan") == 0
    rows = {
        line.split()[0]: line.split()[1:]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(("generator", "record"))
    }
    assert rows == {"generator": ["1", "1", "0"], "record": ["8", "8", "0"]}


def test_a_record_replayed_gives_the_same_numbers(inline_sweep):
    home = inline_sweep.home
    mixed = next(
        event
        for event in read_ledger(home / "run").of_kind("finish")
        if event["config"]["synthetic_per_real"] and event["seed"] == 1
    )
    done = inline_sweep.command("sweep.replay", home / "run", mixed["signature"], "--seed", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(mixed['metrics'])} of {len(mixed['metrics'])} metrics are the same" in done.stdout


def test_rank_and_report_read_it(inline_sweep, capsys):
    assert main(["rank", str(inline_sweep.run)]) == 0 and "pixelshuffle" in capsys.readouterr().out
    page = inline_sweep.home / "again.html"
    assert main(["report", str(inline_sweep.run), "--out", str(page)]) == 0
    assert "<html" in page.read_text()[:2000]


def test_an_exported_model_predicts_what_was_recorded(inline_sweep, capsys):
    import torch

    from sweep.data.datasets import Data
    from sweep.deployment.model_folder import load_exported
    from sweep.evaluation.evaluate import predict

    home = inline_sweep.home
    event = read_ledger(home / "run").of_kind("finish")[0]
    exported = home / "run", event["signature"], home / "out", "--seed", event["seed"]
    for code in (0, 2):  # a second export into the same folder is refused
        assert main(["export", *map(str, exported)]) == code
    assert "holds a model already" in capsys.readouterr().err
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
