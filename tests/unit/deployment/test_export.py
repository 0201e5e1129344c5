"""What an export folder holds, says and refuses."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.deployment import onnx_file
from sweep.deployment.card import card
from sweep.deployment.combine import ONE, SOUP, Ensemble, check_shared_start, mean_logits, soup
from sweep.deployment.from_run import Built, Source, _check_adaptation, build
from sweep.deployment.model_folder import load_exported, read_exported
from sweep.export import _at_threshold
from sweep.export import main as export
from sweep.models.classifier import Classifier, ClassifierSpec, build_classifier
from sweep.models.known_weights import past, past_of


def test_config_json_says_everything_a_program_needs(run, exported):
    facts = json.loads((exported / "config.json").read_text())
    assert (
        facts["seeds"] == [0, 1] and facts["combination"] == "ensemble" and facts["classes"] == ["benign", "malignant"]
    )
    assert facts["files"] == ["model-seed-0.safetensors", "model-seed-1.safetensors"]
    assert facts["preprocessing"]["import"]["import_px"] == 256 and facts["fit"] == "pad"
    (threshold,) = facts["decision"]["thresholds"]
    assert facts["decision"]["policy"] == "youden" and 0 <= threshold["probability"] <= 1
    metric = facts["metrics"]["auroc/target"]
    assert metric["low"] <= metric["estimate"] <= metric["high"] and metric["seeds"] == 2
    measured = {(row["split"], row["measure"]) for row in facts["decision"]["at_threshold"]}
    assert {("source", "sensitivity"), ("target", "specificity")} <= measured
    assert set(facts["familiarity"]["flagged"]) == {"source_val", "source", "target"}


def test_metrics_are_those_of_the_exported_model(run, exported):
    from sweep.evaluation.metrics import classification_metrics

    kept = [
        pd.read_parquet(run.place / "trials" / run.signatures["none"] / f"seed-{seed}" / "predictions.parquet")
        for seed in (0, 1)
    ]
    rows = [frame[frame["split"] == "target"] for frame in kept]
    stacked = torch.tensor(np.stack([np.stack(frame["logits"].to_numpy()) for frame in rows]))
    wanted = classification_metrics(mean_logits(stacked, False).numpy(), rows[0]["label"].to_numpy(), 2)
    metrics = json.loads((exported / "config.json").read_text())["metrics"]
    for name in ("auroc", "balanced_accuracy", "log_loss"):
        assert metrics[f"{name}/target"]["estimate"] == pytest.approx(wanted[name], abs=1e-6)


def test_the_card_s_snippet_runs_and_its_sections_are_there(exported, monkeypatch):
    card = (exported / "MODEL_CARD.md").read_text()
    for heading in (
        "Intended use",
        "Trained and tested on",
        "What it is worth",
        "Decision",
        "Unlike the training images",
        "Weights' past",
    ):
        assert f"## {heading}" in card
    assert "Not for clinical use" in card and "| auroc/target |" in card and "95 % interval" in card
    monkeypatch.chdir(exported)
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names = {}
    exec(compile(snippet, "MODEL_CARD.md", "exec"), names)
    assert names["probability"].shape == (1, 2) and float(names["probability"].sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "openus",
            [
                "Their licence: see the publisher.",
                "- the weights openus have seen busi (",
                "a result on it is no test",
            ],
        ),
        ("robust_resnet50_linf_eps4", ["Their licence: MIT.", "have not seen busi: ", "have not seen clinic"]),
        (None, ["the training data of the weights w.pth of resnet50 are not given: whether they have seen busi"]),
    ],
)
def test_the_card_says_what_the_weights_have_seen(exported, name, said):
    facts = json.loads((exported / "config.json").read_text())
    assert "Trained from random weights." in (exported / "MODEL_CARD.md").read_text()
    start, row = ("resnet50", "w.pth", name), past_of("resnet50", "w.pth", name) if name else None
    told = past(*start, {"busi": "busi", "clinic": "phantom-b"})
    facts["weights"] = {"start": "w.pth", "name": name, "licence": row and row.licence, "past": told}
    domains = {
        role: {"name": role, "licence": "CC0", "modality": "ultrasound", "images": 3} for role in ("source", "target")
    }
    text = card(facts, [], domains)
    assert all(words in text for words in said)


def test_a_folder_that_holds_something_and_other_mistakes_are_refused(run, exported, tmp_path, capsys):
    place, trial = str(run.place), run.signatures["none"]
    for words, said in (
        ([str(exported)], "holds a model already"),
        ([str(tmp_path / "a"), "--seeds", "0,7"], "seed 7 has not finished"),
        ([str(tmp_path / "a"), "--seeds", "all", "--seed", "0"], "both are given"),
        ([str(tmp_path / "a"), "--seeds", "x"], "is no list of seeds"),
        ([str(tmp_path / "a"), "--threshold", "sensitivity=2"], "is no policy"),
        ([str(tmp_path / "a"), "--seeds", "all", "--combine", "soup"], "start from different random weights"),
    ):
        assert export([place, trial, *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_without_the_run_s_images(run, tmp_path):
    moved = shutil.copytree(run.place, tmp_path / "moved", ignore=shutil.ignore_patterns("artifacts"))
    words = [str(moved), run.signatures["none"], str(tmp_path / "model")]
    assert export(words) == 2 and not (tmp_path / "model").exists()
    assert export([*words, "--no-reference"]) == 0
    model = read_exported(tmp_path / "model")
    assert model.reference is None and len(model.thresholds) == 1


@pytest.mark.parametrize("way", ["histogram", "batch_norm", "entropy"])
def test_a_trained_model_under_another_adaptation_is_the_trial_that_is_configured_so(run, tmp_path, way):
    # All three adapt after training, so that seed 1 of each trial is the same trained model.
    out = tmp_path / "model"
    assert export([str(run.place), run.signatures["none"], str(out), "--seed", "1", "--adapt", way]) == 0
    facts = json.loads((out / "config.json").read_text())
    assert facts["preprocessing"]["adapt"] == way and (facts["preprocessing"]["histogram"] is None) == (
        way != "histogram"
    )
    record = pd.read_parquet(run.place / "trials" / run.signatures[way] / "seed-1" / "predictions.parquet")
    made = build(Source(Storage(run.place), run.signatures["none"], (1,), ONE, way), run.data).predictions
    assert np.allclose(np.stack(made["logits"]), np.stack(record["logits"]), atol=1e-4)
    metrics = facts["metrics"]
    assert metrics["auroc/target"]["seeds_mean"] is None and metrics["auroc/target"]["low"] is not None
    assert "domain_gap" not in metrics, "recorded under the configured adaptation"
    card = (out / "MODEL_CARD.md").read_text()
    assert f"Adapted to the target by `{way}`" in card and "| metric | this model | 95 % interval |\n" in card


def test_an_adaptation_that_cannot_be_is_refused(run, tmp_path, capsys):
    words = [str(run.place), run.signatures["none"], str(tmp_path / "model"), "--adapt"]
    assert export([*words, "entropy", "--no-reference"]) == 2 and "needs the run's images" in capsys.readouterr().err
    assert export([*words, "histogram_to_target"]) == 2 and "batch_norm" in capsys.readouterr().err
    findings = SimpleNamespace(multi_label=True)
    with pytest.raises(InputError, match="several findings"):
        _check_adaptation(
            Source(Storage(run.place), run.signatures["none"], (1,), ONE, "entropy"), findings, model_of(run)
        )
    plain = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="no layer that it changes"):
        _check_adaptation(Source(Storage(run.place), "x", (1,), ONE, "batch_norm"), run.data, plain)


def model_of(run):
    return build(Source(Storage(run.place), run.signatures["none"], (1,), ONE), run.data).members[0]


@pytest.mark.parametrize("name", ["model-seed-1.safetensors", "training_reference.safetensors", "config.json"])
def test_damaged_and_absent_files_are_named(exported, tmp_path, name):
    folder = shutil.copytree(exported, tmp_path / "model")
    (folder / name).write_bytes(b"not a file of its kind")
    with pytest.raises(InputError, match=re.escape(name)):
        read_exported(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=re.escape(name)):
        read_exported(folder)


def test_a_folder_of_version_0_1_is_read(run, exported, tmp_path):
    facts = json.loads((exported / "config.json").read_text())
    old = {
        name: facts[name] for name in ("network", "classes", "image_px", "fit", "input", "output", "config", "trial")
    }
    (tmp_path / "config.json").write_text(json.dumps(old | {"seed": 0}))
    shutil.copy(exported / "model-seed-0.safetensors", tmp_path / "model.safetensors")
    assert isinstance(load_exported(tmp_path), Classifier)


class TestSeedsAsOne:
    SPEC = ClassifierSpec("small_cnn", 2, 32)

    def models(self):
        return [build_classifier(self.SPEC, seed=seed).eval() for seed in (0, 1)]

    def test_probabilities_of_an_ensemble_are_means(self):
        members, images = self.models(), torch.rand(3, 1, 32, 32)
        with torch.inference_mode():
            wanted = torch.stack([member(images).softmax(1) for member in members]).mean(0)
            assert torch.allclose(Ensemble(members, False)(images).softmax(1), wanted, atol=1e-6)
            several = torch.stack([member(images).sigmoid() for member in members]).mean(0)
            assert torch.allclose(Ensemble(members, True)(images).sigmoid(), several, atol=1e-5)

    def test_a_soup_is_the_mean_of_the_weights(self):
        states = [member.state_dict() for member in self.models()]
        mixed = soup(states)
        name = "head.1.weight"
        assert torch.allclose(mixed[name], (states[0][name] + states[1][name]) / 2)
        assert all(mixed[key].dtype == value.dtype for key, value in states[0].items())

    def test_a_soup_needs_a_common_start(self):
        model = self.models()[0]
        check_shared_start({"weights": "imagenet"}, model)
        with pytest.raises(InputError, match="different random weights"):
            check_shared_start({"weights": None}, model)
        learned = build_classifier(ClassifierSpec("small_cnn", 2, 32, "matching"), seed=0)
        with pytest.raises(InputError, match="starts its colorizer"):
            check_shared_start({"weights": "imagenet"}, learned)

    def test_a_soup_is_evaluated_anew(self, run, monkeypatch):
        monkeypatch.setattr("sweep.deployment.from_run.check_shared_start", lambda config, model: None)
        source = Source(Storage(run.place), run.signatures["none"], (0, 1), SOUP)
        made = build(source, run.data)
        (model,) = made.members
        kept = [load_file(run.place / source_file(run, seed)) for seed in (0, 1)]
        assert torch.allclose(model.state_dict()["head.1.bias"], (kept[0]["head.1.bias"] + kept[1]["head.1.bias"]) / 2)
        from sweep.evaluation.evaluate import predict

        rows = made.predictions[made.predictions["split"] == "target"]
        assert np.allclose(np.stack(rows["logits"]), predict(model, run.data.read("target").images, 128), atol=1e-5)

    def test_a_soup_of_matched_images_is_evaluated_on_matched_images(self, run, monkeypatch):
        monkeypatch.setattr("sweep.deployment.from_run.check_shared_start", lambda config, model: None)
        made = build(Source(Storage(run.place), run.signatures["histogram"], (0, 1), SOUP), run.data)
        from sweep.evaluation.evaluate import predict
        from sweep.training.adapt import grey_histogram, match_histogram

        reference = grey_histogram(run.data.read("train").images)
        assert np.array_equal(made.histogram, reference)
        for split, fold, images in (
            ("target", "target", match_histogram(run.data.read("target").images, reference)),
            ("source", "test", run.data.read("test").images),
        ):
            rows = made.predictions[made.predictions["split"] == split]
            assert np.allclose(np.stack(rows["logits"]), predict(made.members[0], images, 128), atol=1e-5), fold


def source_file(run, seed):
    return f"trials/{run.signatures['none']}/seed-{seed}/model.safetensors"


def test_onnx_needs_its_extra(monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'recipe-finder\[onnx\]'"):
        onnx_file.check_installed()


@pytest.mark.slow
def test_onnx_runtime_gives_the_logits_of_the_network(run, exported, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "model"
    assert export([str(run.place), run.signatures["none"], str(out), "--seeds", "all", "--onnx"]) == 0
    images = torch.rand(5, 1, 32, 32)
    session = onnxruntime.InferenceSession(out / "model.onnx")
    (found,) = session.run(None, {"grey": images.numpy()})
    with torch.inference_mode():
        assert np.allclose(found, load_exported(out)(images).numpy(), atol=1e-4)
    monkeypatch.chdir(out)
    for snippet in re.findall(r"```python\n(.*?)```", (out / "MODEL_CARD.md").read_text(), re.DOTALL):
        exec(compile(snippet, "MODEL_CARD.md", "exec"), {})


def test_each_finding_is_measured_at_its_own_threshold():
    """By hand: the second finding's threshold of 0.75 is a logit of 1.1; its label is unknown in every fourth image."""
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(40, 2)), draw.integers(0, 2, (40, 2)).astype(float)
    labels[::4, 1] = np.nan
    split = np.repeat(["source", "target"], 20)
    frame = pd.DataFrame(
        {
            "image_id": [str(i) for i in range(40)], "group": [str(i) for i in range(40)], "domain": split, "split": split,
            "labels": list(labels), "seed": 0, "logits": list(logits),
        }
    )  # fmt: skip
    built, data = Built([], frame, True), SimpleNamespace(multi_label=True, classes=("Edema", "Mass"))
    rows = {(row["split"], row["measure"]): row for row in _at_threshold(built, data, [0.5, 0.75])}
    assert len(rows) == 8
    for place, name, least in ((0, "Edema", 0.0), (1, "Mass", np.log(3))):
        for here in ("source", "target"):
            z, y = logits[split == here, place], labels[split == here, place]
            for measure, kind in (("sensitivity", 1), ("specificity", 0)):
                row = rows[here, f"{measure} of {name}"]
                assert row["estimate"] == pytest.approx(np.mean((z[y == kind] > least) == kind))
                assert row["low"] <= row["estimate"] <= row["high"]
