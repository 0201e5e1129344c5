"""pseudo_hospitals.parquet: what the training job writes is read back as the predictor and the estimators take it."""

import numpy as np
import pandas as pd
import pytest

from sweep.core.metric_table import METRIC_TABLE, metric_row
from sweep.core.storage import Storage
from sweep.evaluation.metrics import auroc
from sweep.shift.blind_metrics import blind_metric_names, blind_metrics
from sweep.shift.estimators import ESTIMATORS
from sweep.shift.predicted_performance import METRICS, predict
from sweep.shift.pseudo_hospitals import pseudo_hospitals
from sweep.shift.stored import (
    AS_CONFIGURED,
    StoredHospital,
    adaptations_in,
    adapted_target_frame,
    adapted_targets_of,
    evidence_of,
    hospitals_frame,
    hospitals_of,
    read_adapted_targets,
    read_hospitals,
    write_hospitals,
)

FOLDER = "trials/0123456789ab/seed-0"


def scores(images):
    """Logits float32 [N, 2] of a classifier by brightness."""
    z = (images.mean((1, 2)) - 100) / 20
    return np.stack([-z, z], axis=1).astype(np.float32)


def evaluated(adaptation=AS_CONFIGURED, shift=0.0):
    draw = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (draw.integers(60, 120, (24, 16, 16)) + 12 * labels[:, None, None]).astype(np.uint8)
    target = draw.integers(30, 200, (20, 16, 16)).astype(np.uint8)
    return images, labels, target, [
        StoredHospital(
            one.family, scores(one.images) + np.float32(shift), one.labels, one.name, one.recipe,
            tuple(f"i{row}" for row in one.rows), 0.5, 0.25, adaptation,
        )
        for one in pseudo_hospitals(images, labels, target, count=10)
    ]  # fmt: skip


def test_hospitals_are_read_as_they_were_written(tmp_path):
    run, (_, _, _, made) = Storage(tmp_path), evaluated()
    assert read_hospitals(run, FOLDER) == []
    write_hospitals(run, FOLDER, [*made, *evaluated("batch_norm", 1.0)[3]])
    read = read_hospitals(run, FOLDER)
    assert len(read) == 10
    for one, other in zip(made, read, strict=True):
        assert np.array_equal(one.logits, other.logits) and np.array_equal(one.labels, other.labels)
        assert (one.name, one.family, one.recipe, one.image_ids) == (
            other.name, other.family, other.recipe, other.image_ids,
        )  # fmt: skip
        assert (other.target_distance, other.source_distance, other.adaptation) == (0.5, 0.25, AS_CONFIGURED)
    frame = hospitals_frame([*made, *evaluated("batch_norm", 1.0)[3]])
    assert adaptations_in(frame) == [AS_CONFIGURED, "batch_norm"]
    assert np.allclose(hospitals_of(frame, "batch_norm")[0].logits, made[0].logits + 1)


def predictions(seed=0):
    images, labels, target, _ = evaluated()
    parts = [("source_val", images, labels), ("source", images, labels), ("target", target, np.full(20, -1))]
    return pd.concat([
        pd.DataFrame({"split": split, "label": known, "seed": seed, "logits": list(scores(shown) + seed)})
        for split, shown, known in parts
    ], ignore_index=True)  # fmt: skip


def test_predictions_become_evidence_for_every_estimator():
    one, two = evidence_of(predictions()), evidence_of(pd.concat([predictions(), predictions(1)]))
    assert one.source_logits.shape == (24, 2) and one.target_logits.shape == (20, 2) and one.source_seeds is None
    assert two.source_seeds.shape == (2, 24, 2) and two.target_seeds.shape == (2, 20, 2)
    assert np.isfinite(ESTIMATORS["cbpe"](one)["auroc"])
    adapted = adapted_targets_of(
        adapted_target_frame({"histogram": one.target_logits + 1}, [f"t{k}" for k in range(20)])
    )
    assert np.array_equal(evidence_of(predictions(), adapted["histogram"]).target_logits, one.target_logits + 1)
    with pytest.raises(ValueError, match="one class an image"):
        evidence_of(predictions().rename(columns={"label": "labels"}))


def test_adapted_targets_lie_beside_the_predictions(tmp_path):
    run = Storage(tmp_path)
    assert read_adapted_targets(run, FOLDER) == {}
    made = adapted_target_frame({"batch_norm": np.eye(2), "tent": 2 * np.eye(2)}, ["a", "b"])
    run.write(f"{FOLDER}/adapted_target.parquet", made.to_parquet(index=False))
    read = read_adapted_targets(run, FOLDER)
    assert list(read) == ["batch_norm", "tent"] and np.array_equal(read["tent"], 2 * np.eye(2))


def test_blind_metrics_are_those_of_the_prediction_and_have_rows():
    images, labels, target, hospitals = evaluated()
    found = blind_metrics(scores(images), scores(target), hospitals, source_test_auroc=0.9)
    assert list(found) == blind_metric_names() and all(metric_row(name) for name in found)
    expected = predict(scores(images), scores(target), hospitals).metrics
    for name in METRICS:
        assert found[f"predicted_{name}/target"] == expected[name].value
        assert found[f"predicted_{name}_low/target"] == expected[name].low
        assert found[f"predicted_{name}_high/target"] == expected[name].high
    assert found["predicted_domain_gap"] == pytest.approx(0.9 - expected["auroc"].value)
    assert METRIC_TABLE["predicted_auroc_low"].goal == "maximize"
    assert auroc(scores(images)[:, 1], labels == 1) > 0.5
