"""Accuracy and AUROC under acquisition changes, by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sweep.core.acquisition_names import ACQUISITION
from sweep.core.metric_table import metric_row
from sweep.evaluation.metrics import all_correct
from sweep.pipeline import acquisition
from sweep.shift.severity import changed


def test_the_worst_case_is_taken_per_image_and_the_mean_over_all_conditions():
    found = {
        (name, s): {"accuracy": a, "auroc": a / 2}
        for (name, s, a) in (("blur", 1, 0.5), ("gain", 1, 0.75), ("blur", 2, 0.25), ("gain", 2, 0.5))
    }
    right = {
        ("blur", 1): np.array([True, True, False, False]),
        ("gain", 1): np.array([False, True, True, True]),
        ("blur", 2): np.array([False, True, False, False]),
        ("gain", 2): np.array([True, False, True, False]),
    }
    metrics = acquisition.summary("target", found, right)
    assert (
        metrics["acquisition_accuracy/target/worst-1"] == 0.25 and metrics["acquisition_accuracy/target/worst-2"] == 0
    )
    assert metrics["acquisition_accuracy/target/mean"] == 0.5 and metrics["acquisition_auroc/target/mean"] == 0.25
    assert metrics["acquisition_accuracy/target/gain-2"] == 0.5
    assert all(metric_row(name) is not None for name in metrics)


def test_correct_of_classes_and_of_findings():
    assert all_correct(np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 1.0]]), np.array([2, 1])).tolist() == [True, False]
    labels = np.array([[1.0, np.nan], [1.0, 0.0], [0.0, 1.0]])
    assert all_correct(np.array([[2.0, 5.0], [2.0, 1.0], [-1.0, 1.0]]), labels).tolist() == [True, False, True]


class Bright(torch.nn.Module):
    """Class 1 where the mean grey level is above one half."""

    def forward(self, images):
        excess = images.mean((1, 2, 3)) - 0.5
        return torch.stack([-excess, excess], 1)


def test_logits_are_those_of_the_changed_images():
    grey = np.array([100, 140, 200], np.uint8)
    images = np.repeat(grey, 32 * 32).reshape(3, 32, 32)
    fold = SimpleNamespace(images=images, labels=np.array([0, 1, 1]))
    written = {}
    job = SimpleNamespace(
        attacks=SimpleNamespace(
            splits=("source",),
            images="all",
            acquisition=("medmnistc_brightness_up", "medmnistc_brightness_down"),
            severities=(1, 2, 3, 4, 5),
        ),
        folds={"test": fold},
        device="cpu",
        write_frame=lambda name, frame: written.update({name: frame}),
    )
    rows = lambda _job, _split, chosen: pd.DataFrame({"image_id": chosen})
    metrics = acquisition.measure(job, ("source",), {"source": Bright()}, lambda fold, _images: np.arange(3), rows)
    frame = written["acquisition.parquet"]
    assert len(frame) == 2 * 5 * 3
    for row in frame.itertuples():
        excess = changed(row.change, images, row.severity)[row.image_id].mean() / 255 - 0.5
        np.testing.assert_allclose(row.logits, [-excess, excess], atol=1e-6)
    assert metrics["acquisition_accuracy/source/medmnistc_brightness_up-5"] == pytest.approx(2 / 3)


def test_without_a_labelled_split_nothing_is_measured():
    job = SimpleNamespace(write_frame=lambda *given: pytest.fail("nothing to write"))
    assert acquisition.measure(job, (), {}, lambda *given: None, lambda *given: None) == {}


class Thirds(torch.nn.Module):
    """One logit for each third of the image: how much brighter it is than the whole."""

    def forward(self, images):
        thirds = torch.stack([part.mean((1, 2, 3)) for part in images.tensor_split(3, dim=3)], 1)
        return 20 * (thirds - images.mean((1, 2, 3))[:, None])


KINDS = {
    "three classes": np.array([0, 1, 2] * 4),
    "findings": np.array([[1, 0, 0], [0, 1, np.nan], [0, 1, 1], [1, np.nan, 0]] * 3, dtype=float),
}


@pytest.mark.parametrize("name", ACQUISITION)
@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_every_change_on_three_classes_and_on_findings(name, labels):
    images = np.random.default_rng(0).integers(0, 256, (12, 36, 36), dtype=np.uint8)
    job = SimpleNamespace(
        attacks=SimpleNamespace(images="all", acquisition=(name,), severities=(1, 5), splits=("source",)),
        folds={"test": SimpleNamespace(images=images, labels=labels)},
        device="cpu",
        write_frame=lambda _name, _frame: None,
    )
    rows = lambda _job, _split, chosen: pd.DataFrame({"image_id": chosen})
    metrics = acquisition.measure(job, ("source",), {"source": Thirds()}, lambda fold, _images: np.arange(12), rows)
    for severity in (1, 5):
        inputs = torch.as_tensor(changed(name, images, severity)).unsqueeze(1).float() / 255
        logits = Thirds()(inputs).numpy()
        if labels.ndim == 1:
            right = logits.argmax(1) == labels
        else:
            right = (((logits > 0) == (labels == 1)) | np.isnan(labels)).all(1)
        assert metrics[f"acquisition_accuracy/source/worst-{severity}"] == pytest.approx(right.mean())
        if labels.ndim == 1:  # one class against the others, by its probability
            logits = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        auroc = metrics[f"acquisition_auroc/source/{name}-{severity}"]
        assert auroc == pytest.approx(
            np.mean([roc_auc(column, logits[:, k]) for k, column in enumerate(one_column_a_class(labels))])
        )


def one_column_a_class(labels):
    return [labels == k for k in range(3)] if labels.ndim == 1 else list(labels.T)


def roc_auc(positive, score):
    known = ~np.isnan(np.asarray(positive, dtype=float))
    positive, score = np.asarray(positive, dtype=float)[known] == 1, score[known]
    above = score[positive][:, None] - score[~positive][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())
