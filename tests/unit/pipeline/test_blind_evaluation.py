"""One record of a hospital without labels: predictions, pseudo-hospitals and adaptations, and no byte that depends on a hidden label."""

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.tried_forms import AS_CONFIGURED as AS_TRAINED
from analysis.tried_forms import predicted_forms, tried_adaptations
from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, prepare
from sweep.pipeline.blind_evaluation import TRIED_HOSPITALS
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.planning.preflight import with_file_identities
from sweep.shift.blind_metrics import blind_metric_names
from sweep.shift.pooled_performance import ModelEvidence
from sweep.shift.predicted_performance import predict
from sweep.shift.stored import AS_CONFIGURED, read_adapted_targets, read_evidence, read_hospitals
from sweep.store.trial import Attacks, Rungs, Trial
from sweep.training.hooks import TrainingHooks
from tests.unit.data.test_target_labels import IMAGES, hospital, shares

torch.set_num_threads(1)
BASE = {"backbone": "small_cnn", "epochs": 1, "batch_size": 16, "lr": 0.002}
ATTACKS = Attacks(("fgsm",), ("1/255",), 8, ("source", "target"))
HOSPITALS = 8
TRIED = ("batch_norm", "entropy", "histogram")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return hospital(tmp_path_factory.mktemp("shards") / "here", "here", shares(0, normals=0), 0)


def recorded(place, source, labels, allowed, before=None, tried=(), **config):
    """The run folder of one record on a target with these labels, its seed's folder, result and epochs.

    The near-duplicates are those of the run `before`, which has the same images.
    """
    target = hospital(place / "there", "there", labels, 1)
    run = Storage(place / "run")
    for name in before.names("near_duplicates") if before else ():
        run.write(f"near_duplicates/{name}", before.read(f"near_duplicates/{name}"))
    section = DataSection(
        source=source,
        target=target,
        image_px=32,
        target_labels=allowed,
        pseudo_hospitals=HOSPITALS,
        try_adaptations=list(tried),
    )
    data = prepare(section, run)
    trial = Trial(with_file_identities(complete({**BASE, **config})), data.hash, (0,))
    epochs = []
    job = TrainingJob(
        trial, 0, data, {fold: data.read(fold) for fold in FOLDS}, ATTACKS, run,
        rungs=Rungs((1,), ("predicted_auroc_low/target",)), hooks=TrainingHooks(on_epoch=epochs.append),
    )  # fmt: skip
    return run, job.folder, run_seed(job), epochs


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, source):
    return recorded(tmp_path_factory.mktemp("sealed"), source, shares(1, normals=0), "sealed", tried=TRIED)


def files_of(run):
    """Every file that training, evaluation and adaptation wrote; those of TensorBoard hold the clock."""
    return {
        path.relative_to(run.local / "trials").as_posix(): path.read_bytes()
        for path in (run.local / "trials").rglob("*")
        if path.is_file() and path.name != "result.json"
    }


@pytest.mark.parametrize("hidden", ["permuted", pytest.param("removed", marks=pytest.mark.slow)])
def test_hidden_labels_change_no_byte_of_a_record(tmp_path, source, sealed, hidden):
    run, _, result, epochs = sealed
    permuted = list(np.random.default_rng(3).permutation(shares(1, normals=0)))
    labels, allowed = {"permuted": (permuted, "sealed"), "removed": ([None] * IMAGES, "none")}[hidden]
    other, _, again, seen = recorded(tmp_path / hidden, source, labels, allowed, run, TRIED)
    assert files_of(other) == files_of(run) and len(files_of(run)) >= 5
    assert again["metrics"] == result["metrics"] and again["signature"] == result["signature"]
    assert [{**one, "epoch_seconds": 0} for one in seen] == [{**one, "epoch_seconds": 0} for one in epochs]


def test_target_metrics_are_empty_and_predicted_ones_are_there(sealed):
    run, folder, result, epochs = sealed
    metrics = result["metrics"]
    assert metrics["auroc/target"] is None and metrics["domain_gap"] is None and metrics["auroc/source"] is not None
    assert all(metrics[name] is not None for name in blind_metric_names())
    assert epochs[-1]["predicted_auroc_low/target"] is not None
    assert not [name for name in metrics if name.startswith("robust_accuracy/target")]
    held = pd.read_parquet(io.BytesIO(run.read(f"{folder}/predictions.parquet")))
    assert set(held.loc[held["split"] == "target", "label"]) == {-1}
    assert result["pseudo_hospitals"]["count"] == HOSPITALS and result["seconds"]["pseudo_hospitals"] > 0


def test_what_is_stored_gives_the_recorded_predictions(sealed):
    run, folder, result, _ = sealed
    hospitals, evidence = read_hospitals(run, folder), read_evidence(run, folder)
    found = predict(evidence.source_logits, evidence.target_logits, hospitals)
    assert found.metrics["auroc"].low == pytest.approx(result["metrics"]["predicted_auroc_low/target"])
    assert len(hospitals) == HOSPITALS and {one.adaptation for one in hospitals} == {AS_CONFIGURED}
    assert all(one.target_distance >= 0 and one.source_distance >= 0 for one in hospitals)


def test_the_gallery_shows_the_nearest_and_the_farthest_hospital_beside_the_source(sealed):
    run, folder, _, _ = sealed
    shown = pd.read_parquet(io.BytesIO(run.read(f"{folder}/gallery.parquet"))).groupby("kind")
    by_distance = sorted(read_hospitals(run, folder), key=lambda one: one.target_distance)
    for kind, one in (("nearest_hospital", by_distance[0]), ("farthest_hospital", by_distance[-1])):
        changed, original = shown.get_group(kind), shown.get_group(f"{kind}_source")
        assert set(changed["label"]) == {"benign", "malignant"} and list(changed["image_id"]) == list(
            original["image_id"]
        )
        assert set(changed["image_id"]) <= set(one.image_ids) and all(
            changed["png"].to_numpy() != original["png"].to_numpy()
        )
        assert changed["caption"].iloc[0].startswith(", ".join(one.recipe).replace("_", " "))


def test_other_adaptations_are_tried_on_the_same_model(sealed):
    run, folder, _, _ = sealed
    adapted = read_adapted_targets(run, folder)
    assert {"histogram", "batch_norm", "entropy"} == set(adapted)
    for name, logits in adapted.items():
        assert logits.shape == (IMAGES, 2) and np.isfinite(logits).all()
        tried = read_hospitals(run, folder, name)
        assert len(tried) == min(HOSPITALS, TRIED_HOSPITALS)
        assert not np.array_equal(tried[0].logits, read_hospitals(run, folder)[0].logits)


def test_they_are_candidates_to_choose_among_without_labels(sealed):
    """From the files of one real record: what analysis predicts for the target under each adaptation."""
    run, folder, result, _ = sealed
    evidence, hospitals = read_evidence(run, folder), read_hospitals(run, folder)
    distances = np.array([one.target_distance for one in hospitals])
    model = ModelEvidence(evidence.source_logits, evidence.source_labels, evidence.target_logits, hospitals, distances)
    opened = SimpleNamespace(storage=run, data_card={"data": {"try_adaptations": list(TRIED)}})
    tried = tried_adaptations(opened, result["signature"], {0: model})
    assert set(tried) == {*TRIED, AS_TRAINED}
    forms = predicted_forms({"recipe": tried})["recipe"]
    assert {form.name for form in forms} <= set(TRIED)
    assert all(0 <= form.auroc.low <= form.auroc.value <= form.auroc.high <= 1 for form in forms)


@pytest.mark.parametrize("way", ["batch_norm", "histogram_to_target"])
def test_a_configured_adaptation_is_that_of_the_pseudo_hospitals(tmp_path, source, sealed, way):
    run, folder, result, _ = recorded(tmp_path, source, shares(1, normals=0), "sealed", sealed[0], adapt=way)
    assert result["metrics"]["predicted_auroc/target"] is not None
    assert read_adapted_targets(run, folder) == {}
    if way == "batch_norm":  # the same model, as the plain configuration tried it
        tried = read_hospitals(sealed[0], sealed[1], "batch_norm")
        assert np.allclose(tried[0].logits, read_hospitals(run, folder)[0].logits)


def test_with_a_number_of_labels_metrics_and_attacks_are_those_of_the_labelled_images(tmp_path, source, sealed):
    run, folder, result, _ = recorded(tmp_path, source, shares(1, normals=0), 20, sealed[0])
    held = pd.read_parquet(io.BytesIO(run.read(f"{folder}/predictions.parquet")))
    target = held[(held["split"] == "target") & (held["label"] >= 0)]
    assert len(target) == 20
    called = np.stack(target["logits"]).argmax(1)
    assert result["metrics"]["accuracy/target"] == pytest.approx(float(np.mean(called == target["label"])))
    attacked = pd.read_parquet(io.BytesIO(run.read(f"{folder}/attacks.parquet")))
    assert set(attacked.loc[attacked["split"] == "target", "image_id"]) <= set(target["image_id"])
    assert result["metrics"]["predicted_auroc/target"] is not None
