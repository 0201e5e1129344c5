"""CheXpert from its published layout to the report's numbers: five findings an image, some uncertain, some unknown."""

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.hparams import write_tensorboard
from analysis.rank import main as rank_main
from analysis.report import write_report
from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection as Section
from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import InputError, InputErrors
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, Data, prepare
from sweep.importers import import_dataset
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob, decided
from sweep.planning.plan_report import print_plan
from sweep.planning.preflight import check_models
from sweep.store.trial import Attacks, Trial
from tests.fakes import findings
from tests.fakes.run_folder import write_ledger
from tests.integration import sweep_process

torch.set_num_threads(1)
BASE = {"backbone": "small_cnn", "epochs": 6, "batch_size": 16, "lr": 0.01, "augment": "none"}
ATTACKS = Attacks(("fgsm", "apgd_margin"), ("1/255", "32/255"), 12, ("target",))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = tmp_path_factory.mktemp("chexpert")
    for number, name in enumerate(("here", "there")):
        import_dataset(
            "chexpert", findings.write(place / f"raw-{name}", seed=number), place / name, domain=name, import_px=40
        )
    run = Storage(place / "run")
    data = prepare(Section(source=str(place / "here"), target=str(place / "there"), image_px=40), run)
    return run, data, {fold: data.read(fold) for fold in FOLDS}


NOTHING = Attacks()


def job(prepared, attacks=NOTHING, **config):
    run, data, folds = prepared
    return TrainingJob(Trial(complete({**BASE, **config}), data.hash, (0,)), 0, data, dict(folds), attacks, run)


def test_prepared_data_come_back_whole(prepared):
    run, data, folds = prepared
    assert data.multi_label and len(data.classes) == 5
    again = Data.load(run)
    assert again.hash == data.hash and again.class_counts("train") == data.class_counts("train")
    assert folds["train"].labels.shape == (len(folds["train"]), 5) and (folds["train"].labels == -1).any()
    assert set(folds["train"].groups).isdisjoint(folds["test"].groups)


def test_uncertain_labels_are_decided_in_training_and_left_out_elsewhere(prepared):
    _, _, folds = prepared
    ones, ignored = decided(folds, "ones"), decided(folds, "ignore")
    assert not np.isnan(ones["train"].labels).any() and np.isnan(ignored["train"].labels).any()
    for fold in ("val", "test", "target"):
        np.testing.assert_array_equal(ones[fold].labels, ignored[fold].labels)
        assert not (ones[fold].labels == -1).any() and np.isnan(ones[fold].labels).any()
    np.testing.assert_array_equal(decided(folds, None)["train"].labels, decided(folds, "mix")["train"].labels)


@pytest.fixture(scope="module")
def result(prepared):
    return run_seed(job(prepared, ATTACKS, uncertain="mix"))


def test_it_learns_and_says_how_well_of_each_finding(prepared, result):
    metrics, names = result["metrics"], prepared[1].classes
    assert metrics["auroc/target"] > 0.9 > metrics["constant_accuracy/target"]
    each = [metrics[f"auroc/target/{name}"] for name in names]
    assert np.mean(each) == pytest.approx(metrics["auroc/target"])
    assert metrics["domain_gap"] == pytest.approx(metrics["auroc/source"] - metrics["auroc/target"])


def test_attacks_break_known_findings_only(prepared, result):
    run, _, _ = prepared
    folder = run.local / job(prepared, ATTACKS, uncertain="mix").folder
    attacks, predictions = (pd.read_parquet(folder / f"{name}.parquet") for name in ("attacks", "predictions"))
    merged = attacks.merge(predictions, on=["image_id", "split"], suffixes=("", "_clean"))
    logits, labels = np.stack(merged["logits"]), np.stack(merged["labels"])
    wrong = (((logits > 0) != (labels > 0)) & ~np.isnan(labels)).any(axis=1)
    assert ((merged["breaking_eps"] == 0) == wrong).all()
    assert (
        result["metrics"]["robust_accuracy/target/worst@32/255"] < result["metrics"]["robust_accuracy/target/worst@0"]
    )


def test_policies_train_different_models_and_are_judged_alike(prepared, result):
    other = run_seed(job(prepared, uncertain="ignore"))
    assert other["signature"] != result["signature"]
    assert other["metrics"]["constant_accuracy/target"] == result["metrics"]["constant_accuracy/target"]
    assert other["metrics"]["log_loss/target"] != result["metrics"]["log_loss/target"]


@pytest.mark.parametrize(
    "config",
    [
        {
            "balanced_sampling": True,
            "class_weighting": "balanced",
            "focal_gamma": 1.0,
            "label_smoothing": 0.1,
            "mixup": 0.3,
        },
        {"train_eps": 0.01, "train_attack": "trades", "train_attack_steps": 2},
        {"train_eps": 0.01, "train_attack": "fgsm", "dual_bn": True, "uncertain": "ignore"},
        {"colorizer": "matching", "procedure": "two_step", "glcm_weight": 0.1, "adapt": "batch_norm", "ema": 0.9},
    ],
)
def test_every_way_of_training_takes_them(prepared, config):
    metrics = run_seed(job(prepared, epochs=2, **config))["metrics"]
    assert np.isfinite(metrics["log_loss/target"])


def test_what_cannot_work_is_refused_with_its_fix(prepared):
    _, data, _ = prepared
    trial = Trial(complete({**BASE, "synthetic_per_real": 0.5}), data.hash, (0,))
    with pytest.raises(InputErrors) as refused:
        check_models("sweep_config", [trial], data, ["fgsm", "fab", "torchattacks:CW"])
    assert "import one finding as two classes" in str(refused.value)
    sweep_config = SweepConfig(
        name="q", data=Section(source="here", target="there"), fixed={**BASE, "synthetic_per_real": 0.5}
    )
    with pytest.raises(InputErrors, match="set it to 0"):
        print_plan(sweep_config, prepared[0], Console())
    assert all(
        name in str(refused.value) for name in ("synthetic_per_real", "fab", "torchattacks:CW")
    ) and "threats.attacks, fgsm" not in str(refused.value)


def test_uncertain_decides_nothing_with_one_class_an_image(tmp_path):
    data = prepare(Section(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=12), Storage(tmp_path))
    with pytest.raises(InputErrors, match="has no effect"):
        check_models("sweep_config", [Trial(complete({**BASE, "uncertain": "ones"}), data.hash, (0,))], data)


def test_two_data_sets_must_have_the_same_findings(tmp_path):
    from tests.fakes import chestxray14, chexpert

    import_dataset("chexpert", chexpert.write(tmp_path / "a"), tmp_path / "five")
    import_dataset("chestxray14", chestxray14.write(tmp_path / "b"), tmp_path / "fourteen")
    import_dataset("chestxray14", tmp_path / "b", tmp_path / "two", finding="Effusion")
    for other, words in (("fourteen", "--findings competition"), ("two", "--finding NAME")):
        with pytest.raises(InputError, match=words):
            prepare(
                Section(source=str(tmp_path / "five"), target=str(tmp_path / other), image_px=32),
                Storage(tmp_path / "run"),
            )


@pytest.fixture(scope="module")
def analysed(prepared, result):
    """The run folder as analysis reads it: two configurations, and the ledger that the engine would have written."""
    run, _, _ = prepared
    other = run_seed(job(prepared, ATTACKS, uncertain="zeros", epochs=1))
    head = {
        "event": "sweep",
        "name": "chexpert",
        "objectives": [{"metric": "auroc/target", "goal": "maximize"}],
        "trials": 2,
        "seeds": 1,
    }
    write_ledger(run.local, [head, *({"event": "finish", **one} for one in (result, other))])
    return load_run(run.local)


def test_analysis_resamples_the_same_numbers(prepared, analysed, result):
    estimates = Estimates(analysed, draws=300)
    assert analysed.findings == prepared[1].classes
    for metric in (
        "auroc/target",
        "accuracy/target",
        "balanced_accuracy/source",
        "auroc/target/Edema",
        "robust_accuracy/target/worst@1/255",
        "domain_gap",
    ):
        made = estimates.of(result["signature"], metric)
        assert made.estimate == pytest.approx(result["metrics"][metric], abs=1e-6), metric
        assert made.images and made.low <= made.estimate <= made.high


def test_report_tables_and_tensorboard_read_it(prepared, analysed, tmp_path):
    folder = prepared[0].local
    write_report(folder, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Pleural Effusion" in page and "absent" in page
    assert rank_main([str(folder), "--by", "auroc/target/Edema"]) == 0
    assert write_tensorboard(analysed, tmp_path / "tensorboard") == 2


@pytest.mark.extended
@pytest.mark.e2e
def test_from_sweep_config_to_report(tmp_path):
    for number, name in enumerate(("here", "there")):
        import_dataset(
            "chexpert",
            findings.write(tmp_path / f"raw-{name}", seed=number),
            tmp_path / name,
            domain=name,
            import_px=40,
        )
    sweep_config = tmp_path / "findings.yaml"
    sweep_config.write_text(
        f"name: findings\ndata: {{source: {tmp_path / 'here'}, target: {tmp_path / 'there'}, image_px: 40}}\ngrid: {{uncertain: [ones, ignore]}}\n"
        "fixed: {backbone: small_cnn, epochs: 4, lr: 0.01, batch_size: 16, augment: none}\nseeds: 1\nthreats: {attacks: [fgsm], eps: [1/255], images: 12}\n"
    )
    done = sweep_process.run(tmp_path, sweep_config, "--engine", "inline", timeout_s=280)
    assert done.returncode == 0, done.stdout + done.stderr
    run = load_run(tmp_path / "results" / "findings")
    assert len(run.records) == 2 and run.means["auroc/target"].min() > 0.8
    assert "Pleural Effusion" in (tmp_path / "results" / "findings" / "report.html").read_text()
