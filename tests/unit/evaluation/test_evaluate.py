"""Logits in eval mode, and metrics named after their splits."""

import numpy as np
import torch

from sweep.evaluation.evaluate import evaluate, predict
from tests.fakes.toy_classifier import ToyClassifier, toy_images


def test_predict_neither_depends_on_the_batch_size_nor_changes_the_model():
    model = ToyClassifier().train()
    model.backbone[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, _ = toy_images(10)
    whole, pieces = predict(model, images, 64), predict(model, images, 3)
    assert whole.shape == (10, 2) and whole.dtype == np.float32
    np.testing.assert_allclose(whole, pieces, atol=1e-6)
    assert model.training and not model.backbone[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_evaluate_names_metrics_by_split_and_adds_the_gap():
    source, target = toy_images(12), toy_images(9, seed=1)
    metrics, logits = evaluate(ToyClassifier(), {"source": source, "target": target})
    assert metrics["domain_gap"] == metrics["auroc/source"] - metrics["auroc/target"]
    assert {name: len(value) for name, value in logits.items()} == {"source": 12, "target": 9}
    assert "domain_gap" not in evaluate(ToyClassifier(), {"source": source})[0]
