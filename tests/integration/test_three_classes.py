"""Three classes from class folders through training, every kind of threat and every command that reads the run."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.hparams import write_tensorboard
from analysis.ranking import rank
from analysis.report import write_report
from analysis.verdict_facts import facts_of
from recipe_finder.__main__ import main
from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection as Section
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, prepare
from sweep.importers import import_dataset
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.store.trial import Attacks, Trial
from tests.fakes import three_classes
from tests.fakes.run_folder import write_ledger

pytestmark = pytest.mark.slow
torch.set_num_threads(1)
BASE = {"backbone": "small_cnn", "epochs": 2, "batch_size": 16, "lr": 0.005, "augment": "none"}
THREATS = ("fgsm", "pgd2", "pgd2_l2", "apgd5_margin", "square5", "fmn5", "noise")
ATTACKS = Attacks(THREATS, ("8/255",), 4, acquisition=("blur", "marks"), severities=(5,))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The run folder of two configurations, one with two seeds, as the engine would have left it, and its records."""
    place = tmp_path_factory.mktemp("three")
    for seed, name in enumerate(("here", "there")):
        raw = three_classes.write(place / f"raw-{name}", seed=seed)
        import_dataset("folder", raw, place / name, domain=name, import_px=40, **three_classes.OPTIONS)
    run = Storage(place / "run")
    data = prepare(Section(source=str(place / "here"), target=str(place / "there"), image_px=32), run)
    folds = {fold: data.read(fold) for fold in FOLDS}
    plain, adapted = (Trial(complete({**BASE, "adapt": adapt}), data.hash, (0, 1)) for adapt in ("none", "batch_norm"))
    jobs = [
        TrainingJob(trial, seed, data, dict(folds), ATTACKS, run)
        for trial, seed in ((plain, 0), (plain, 1), (adapted, 0))
    ]
    results = [run_seed(job) for job in jobs]
    head = {
        "event": "sweep", "name": "three", "trials": 2, "seeds": 2,
        "objectives": [{"metric": "auroc/target", "goal": "maximize"}, {"metric": "domain_gap", "goal": "minimize"}],
    }  # fmt: skip
    write_ledger(run.local, [head, *({"event": "finish", **one} for one in results)])
    return run.local, results


@pytest.fixture(scope="module")
def loaded(swept):
    return load_run(swept[0])


def test_auroc_of_each_class_is_recorded_and_averages_to_the_whole(swept, loaded):
    assert loaded.tasks == three_classes.CLASSES
    for result in swept[1]:
        each = [result["metrics"][f"auroc/target/{name}"] for name in three_classes.CLASSES]
        assert np.mean(each) == pytest.approx(result["metrics"]["auroc/target"])


def test_analysis_resamples_the_recorded_numbers(loaded, swept):
    estimates, signature = Estimates(loaded, draws=200), swept[1][0]["signature"]
    for metric in (
        "auroc/target/malignant",
        "sensitivity/target",
        "robust_accuracy/target/worst@8/255",
        "acquisition_auroc/source/mean",
    ):
        made = estimates.of(signature, metric)
        assert made.estimate == pytest.approx(loaded.means[metric][signature], abs=1e-6), metric
        assert made.images and made.low <= made.estimate <= made.high


def test_every_threat_says_what_it_breaks(swept):
    folder = swept[0] / f"trials/{swept[1][0]['signature']}/seed-0"
    assert set(pd.read_parquet(folder / "attacks.parquet")["threat"]) == set(THREATS)
    changes = pd.read_parquet(folder / "acquisition.parquet")
    assert set(changes["change"]) == {"blur", "marks"} and np.stack(changes["logits"]).shape[1] == 3


def test_the_verdict_speaks_of_classes_by_name(loaded):
    estimates = Estimates(loaded, draws=200)
    chosen = facts_of(loaded, rank(loaded, estimates=estimates), estimates, ()).chosen
    assert [name for name, _ in chosen.recalls] == list(three_classes.CLASSES)
    assert chosen.sensitivity is None and chosen.most_called[0] in three_classes.CLASSES


def test_report_has_no_word_that_is_true_of_two_classes_alone(swept, tmp_path):
    write_report(swept[0], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "lowest of 3 classes" in page and "malignant" in page
    assert "positive class" not in page.partition('id="glossary"')[0]


def test_ranked_by_one_class_and_by_two_metrics(swept):
    for by in ("auroc/target/malignant", "auroc=2,domain_gap=1"):
        assert main(["rank", str(swept[0]), "--by", by]) == 0, by


def test_every_command_takes_three_classes(swept, tmp_path, capsys):
    run = str(swept[0])
    commands = (
        ["compare", f"{run}:1", f"{run}:2", "--html", str(tmp_path / "compare.html")],
        ["tables", run, "--out", str(tmp_path / "tables")],
        ["checklist", run, "--out", str(tmp_path / "checklist.html")],
        ["interchange", run, "--to", "csv", "--out", str(tmp_path / "records.csv")],
        ["interchange", run, "--to", "parquet", "--out", str(tmp_path / "records.parquet")],
    )
    for words in commands:
        assert main(words) == 0, (words, capsys.readouterr())
    assert "auroc/target/malignant" in pd.read_csv(tmp_path / "records.csv").columns
    assert write_tensorboard(load_run(run), tmp_path / "tensorboard") == 2


def test_what_needs_two_classes_is_refused_with_the_reason(swept, tmp_path, capsys):
    assert main(["label", str(swept[0]), "--out", str(tmp_path / "labels.csv")]) == 2
    assert "two classes" in capsys.readouterr().err
    assert not (tmp_path / "labels.csv").exists()


def test_exported_ensemble_predicts_a_class_of_three(swept, tmp_path):
    model = tmp_path / "model"
    assert main(["export", str(swept[0]), swept[1][0]["signature"], str(model), "--seeds", "all"]) == 0
    assert json.loads((model / "config.json").read_text())["decision"]["thresholds"] == []
    images = swept[0].parent / "raw-there" / "malignant"
    assert main(["predict", str(model), str(images), "--out", str(tmp_path / "predictions.csv")]) == 0
    rows = pd.read_csv(tmp_path / "predictions.csv")
    chances = rows[[f"probability_{name}" for name in three_classes.CLASSES]].to_numpy()
    assert len(rows) == 40 and set(rows["decision"]) <= set(three_classes.CLASSES)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-4)
