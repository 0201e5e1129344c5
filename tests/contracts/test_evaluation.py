"""Every metric, over every kind of problem: two classes, several, several labels with unknown ones."""

import numpy as np
import pytest

from sweep.core.metric_table import METRIC_TABLE
from sweep.evaluation.metrics import METRICS, classification_metrics

RNG = np.random.default_rng(0)
SEVERAL = np.where(RNG.random((40, 3)) < 0.2, np.nan, RNG.integers(0, 2, (40, 3)).astype(float))
PROBLEMS = {"two": (np.arange(40) % 2, 2), "four": (np.arange(40) % 4, 4), "labels": (SEVERAL, 3)}


def truth_logits(labels, classes, strength):
    if labels.ndim == 2:
        return strength * (2 * np.nan_to_num(labels) - 1)
    return strength * np.eye(classes)[labels]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", METRICS)
class TestEveryMetric:
    def test_the_truth_is_the_best_answer(self, name, problem):
        labels, classes = PROBLEMS[problem]
        best = classification_metrics(truth_logits(labels, classes, 50), labels, classes)[name]
        other = classification_metrics(RNG.normal(size=(40, classes)), labels, classes)[name]
        assert best >= other if METRIC_TABLE[name].goal == "maximize" else best <= other
        if name != "constant_accuracy":
            assert best == pytest.approx(1.0 if METRIC_TABLE[name].goal == "maximize" else 0.0, abs=1e-9)

    def test_the_order_of_the_images_does_not_matter(self, name, problem):
        labels, classes = PROBLEMS[problem]
        logits, order = np.random.default_rng(1).normal(size=(40, classes)), np.random.default_rng(2).permutation(40)
        first = classification_metrics(logits, labels, classes)[name]
        assert first == pytest.approx(classification_metrics(logits[order], labels[order], classes)[name])

    def test_it_is_a_finite_number(self, name, problem):
        labels, classes = PROBLEMS[problem]
        value = classification_metrics(np.zeros((40, classes)), labels, classes)[name]
        assert isinstance(value, float) and np.isfinite(value)
