"""Heads on frozen features: the fits by independent algebra, the choice of the penalty, and that nothing else of the model moves."""

import copy

import numpy as np
import pytest
import torch

from sweep.core.errors import InputError
from sweep.evaluation.evaluate import predict
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.training import feature_head
from sweep.training.feature_head import Problem, fit_head, logistic, ridge
from sweep.training.recipe import FEATURE_HEADS, Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import toy_images


def problem(count=30, width=4, classes=3, multi_label=False, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(count, width))
    if multi_label:
        targets = (draw.random((count, classes)) < 0.4).astype(float)
        targets[draw.random((count, classes)) < 0.2] = np.nan
    else:
        targets = np.eye(classes)[draw.integers(0, classes, count)]
    weights = draw.uniform(0.5, 2, count)[:, None].repeat(classes, 1)
    return Problem(inputs, targets, weights, not multi_label)


@pytest.mark.parametrize("multi_label", [False, True])
def test_ridge_solves_the_augmented_least_squares(multi_label):
    """Rows sqrt(w) (x, 1) against sqrt(w) y, and rows sqrt(penalty) e_j against 0: numpy's least squares on that."""
    given, penalty = problem(multi_label=multi_label), 0.3
    found = ridge(given, penalty, None)
    for k in range(3):
        known = ~np.isnan(given.targets[:, k])
        w = given.weights[known, k] / given.weights[known, k].sum()
        rows = np.sqrt(w)[:, None] * np.hstack([given.inputs[known], np.ones((known.sum(), 1))])
        penalties = np.sqrt(penalty) * np.eye(4, 5)
        right = np.concatenate([np.sqrt(w) * (2 * given.targets[known, k] - 1), np.zeros(4)])
        wanted = np.linalg.lstsq(np.vstack([rows, penalties]), right, rcond=None)[0]
        assert np.allclose(found[:, k], wanted, atol=1e-9)


def test_binary_logistic_equals_newtons_method():
    """Two exclusive classes with penalty p on both columns: their difference solves a binary problem with penalty p / 2."""
    given, penalty = problem(classes=2), 0.2
    found = logistic(given, penalty, None)
    x = np.hstack([given.inputs, np.ones((30, 1))])
    y, w = given.targets[:, 1], given.weights[:, 0] / given.weights[:, 0].sum()
    ridge_term = penalty / 2 * np.diag([1.0] * 4 + [0.0])
    beta = np.zeros(5)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        gradient = x.T @ (w * (p - y)) + ridge_term @ beta
        beta -= np.linalg.solve(x.T @ (x * (w * p * (1 - p))[:, None]) + ridge_term, gradient)
    assert np.allclose(found[:, 1] - found[:, 0], beta, atol=1e-4)


def test_logistic_on_findings_leaves_unknown_labels_out():
    given = problem(multi_label=True)
    without = Problem(given.inputs, np.where(np.isnan(given.targets), np.nan, given.targets), given.weights, False)
    changed = given.targets.copy()
    assert np.isnan(changed).any()
    found = logistic(given, 0.1, None)
    assert np.allclose(found, logistic(without, 0.1, None))
    logits = np.hstack([given.inputs, np.ones((30, 1))]) @ found
    p = 1 / (1 + np.exp(-logits))
    known = ~np.isnan(changed)
    weights = np.where(known, given.weights, 0) / np.where(known, given.weights, 0).sum()
    gradient = np.vstack([given.inputs.T, np.ones(30)]) @ (weights * np.where(known, p - np.nan_to_num(changed), 0))
    gradient[:-1] += 0.1 * found[:-1]
    assert np.abs(gradient).max() < 1e-5


@pytest.fixture(scope="module")
def images():
    return toy_images(48, px=32), toy_images(24, px=32, seed=9)


def classifier(classes=2):
    return build_classifier(ClassifierSpec(backbone="small_cnn", num_classes=classes, image_px=32), seed=3)


@pytest.mark.parametrize("procedure", FEATURE_HEADS)
class TestFitHead:
    def test_only_the_last_layer_moves_and_it_learns(self, procedure, images):
        model = classifier()
        before = copy.deepcopy(model.state_dict())
        seen = []
        result = fit_head(model, *images, Recipe(procedure=procedure), **fit_arguments(on_epoch=seen.append))
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert moved == {"head.1.weight", "head.1.bias"} and not model.training
        (epoch,) = seen
        assert (
            epoch == result.history[0]
            and epoch["auroc/source_val"] > 0.9
            and epoch["head_penalty"] in feature_head.PENALTIES
        )
        assert result.epochs_run == result.best_epoch == 1 and result.images_seen == 48
        logits = predict(model, images[1][0])
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert epoch["loss/source_val"] == pytest.approx(-np.log(p[np.arange(24), images[1][1]]).mean(), abs=1e-5)

    def test_the_penalty_with_the_best_source_validation_is_kept(self, procedure, images, monkeypatch):
        scores = []
        original = feature_head.validation.metrics_of
        monkeypatch.setattr(feature_head.validation, "metrics_of", lambda *a: scores.append(original(*a)) or scores[-1])
        result = fit_head(classifier(), *images, Recipe(procedure=procedure))
        best = max(scores[:-1], key=feature_head.validation.score)  # the last is that of the finished model
        assert len(scores) == len(feature_head.PENALTIES) + 1 and result.history[0]["loss/source_val"] == pytest.approx(
            best["loss/source_val"], abs=1e-5
        )

    def test_three_classes_and_findings(self, procedure, images):
        three = (toy_images(45, px=32, classes=3), toy_images(24, px=32, classes=3, seed=9))
        assert fit_head(classifier(3), *three, Recipe(procedure=procedure)).history[0]["auroc/source_val"] > 0.8
        findings = [(part, np.stack([labels == 1, labels == 0], 1).astype(np.float32)) for part, labels in images]
        findings[0][1][:5, 0] = np.nan
        recipe = Recipe(procedure=procedure, class_weighting="balanced")
        assert fit_head(classifier(), *findings, recipe).history[0]["auroc/source_val"] > 0.9

    def test_constant_features_get_no_weight(self, procedure, images):
        (train, labels), val = images
        black = np.zeros_like(train)
        model = classifier()
        fit_head(model, (black, labels), val, Recipe(procedure=procedure))
        assert torch.isfinite(model.head[1].weight).all() and model.head[1].weight.abs().max() == 0

    def test_no_images_are_refused(self, procedure, images):
        with pytest.raises(InputError, match="no training or no validation image"):
            fit_head(classifier(), (images[0][0][:0], images[0][1][:0]), images[1], Recipe(procedure=procedure))
