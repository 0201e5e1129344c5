"""Metrics against pair counts and sums done by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core.errors import InputError
from sweep.evaluation.domain_gap import domain_gap, domain_gap_vs_real_only
from sweep.evaluation.metrics import (
    DIAGNOSTICS,
    METRICS,
    auroc,
    average_precision,
    calibration_slope,
    classification_metrics,
    probabilities,
)


def pair_count(score, positive):
    """The definition: a right pair counts one, a tie a half."""
    pairs = [(p > n) + 0.5 * (p == n) for p, n in itertools.product(score[positive], score[~positive])]
    return sum(pairs) / len(pairs)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auroc_counts_pairs_with_ties(rows):
    score, positive = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    if positive.all() or not positive.any():
        assert np.isnan(auroc(score, positive))
    else:
        assert auroc(score, positive) == pytest.approx(pair_count(score, positive), abs=1e-12)


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit -> 1/2 * 1 + 1/2 * 2/3.
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1])) == pytest.approx(5 / 6)
    assert average_precision(np.array([0.5, 0.5]), np.array([1, 0])) == pytest.approx(0.5)
    assert np.isnan(average_precision(np.array([0.5]), np.array([0])))


def test_two_classes():
    logits = np.array([[2.0, 0], [0, 1], [1, 0], [0, 3]])
    found = classification_metrics(logits, np.array([0, 0, 0, 1]), 2)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["constant_accuracy"] == 0.75
    assert found["auroc"] == 1.0
    assert (found["sensitivity"], found["specificity"]) == (1.0, pytest.approx(2 / 3))
    assert set(found) == {*METRICS, *DIAGNOSTICS}


def test_three_classes_are_macro_and_skip_absent_ones():
    logits = np.random.default_rng(0).normal(size=(30, 3))
    labels = np.arange(30) % 3
    scores = probabilities(logits)
    found = classification_metrics(logits, labels, 3)
    assert found["auroc"] == pytest.approx(np.mean([pair_count(scores[:, k], labels == k) for k in range(3)]))
    two = classification_metrics(logits, labels % 2, 3)
    assert two["auroc"] == pytest.approx(np.mean([pair_count(scores[:, k], labels % 2 == k) for k in range(2)]))


def test_unknown_labels_count_nowhere():
    logits = np.array([[3.0, -1], [-2, 4], [1, 1], [-1, -3]])
    labels = np.array([[1, np.nan], [0, 1], [np.nan, np.nan], [0, 0.0]])
    found = classification_metrics(logits, labels, 2)
    assert found["auroc"] == 1.0
    assert found["accuracy"] == 1.0
    assert found["constant_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_single_class_leaves_auroc_undefined_but_not_accuracy():
    found = classification_metrics(np.zeros((3, 2)), np.zeros(3, int), 2)
    assert np.isnan(found["auroc"]) and found["accuracy"] == 1.0


def test_calibration_error_by_hand():
    # Confidence 0.9 twice, right once: off by 0.4; confidence 0.6 once, right: off by 0.4.
    logits = np.log([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    found = classification_metrics(logits, np.array([0, 1, 1]), 2)["calibration_error"]
    assert found == pytest.approx((abs(1.8 - 1) + abs(0.6 - 1)) / 3)


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (np.zeros((2, 3)), np.zeros(2, int), "for 2 classes"),
        (np.zeros((2, 2)), np.zeros(3, int), "for 2 classes"),
        (np.zeros((2, 2)), np.zeros((2, 3)), "for 2 classes"),
        (np.full((2, 2), np.nan), np.zeros(2, int), "NaN or infinity at 2 of 2 images"),
        (np.zeros((2, 2)), np.array([0, 2]), "number the classes from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, says):
    with pytest.raises(InputError, match=says):
        classification_metrics(logits, labels, 2)


def test_probabilities_do_not_overflow():
    assert np.allclose(probabilities(np.array([[1e4, -1e4]])), [[1, 0]])
    assert np.allclose(probabilities(np.array([[1e4, -1e4]]), multi_label=True), [[1, 0]])


def test_domain_gap_is_source_minus_target():
    source = {"auroc": 0.9, "accuracy": 0.8, "balanced_accuracy": 0.7}
    target = {"auroc": 0.6, "accuracy": 0.75, "balanced_accuracy": 0.7}
    gap = domain_gap(source, target)
    assert gap["domain_gap"] == pytest.approx(0.3)
    assert gap["domain_gap/accuracy"] == pytest.approx(0.05)
    assert domain_gap_vs_real_only(source, target)["domain_gap_vs_real_only/balanced_accuracy"] == 0


def test_confident_logits_do_not_tie():
    # Beyond a margin of 37 the probability of class 1 rounds to 1 in float64.
    logits, labels = np.array([[0, 40.0], [0, 50], [0, 60], [0, 45]]), np.array([0, 1, 1, 0])
    made = classification_metrics(logits, labels, 2)
    assert made["auroc"] == made["average_precision"] == 1.0
    findings = classification_metrics(logits[:, 1:], labels[:, None].astype(float), 1)
    assert findings["auroc"] == findings["average_precision"] == 1.0
    three = np.concatenate([logits, np.full((4, 1), -5.0)], axis=1)
    assert classification_metrics(three, labels, 3)["auroc"] == 1.0


def test_brier_score_by_hand():
    logits = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]]))
    found = classification_metrics(logits, np.array([0, 1, 1]), 2)["brier_score"]
    assert found == pytest.approx((0.2**2 + 0.4**2 + 0.9**2) / 3)
    three = np.log(np.array([[0.7, 0.2, 0.1]]))
    assert classification_metrics(three, np.array([0]), 3)["brier_score"] == pytest.approx((0.09 + 0.04 + 0.01) / 3)
    several = classification_metrics(np.zeros((2, 2)), np.array([[1, np.nan], [0, 1.0]]), 2)
    assert several["brier_score"] == pytest.approx(0.25)


def test_calibration_slope_by_hand():
    """Two scores: the fit passes through the observed frequencies, 3 of 4 at logit 2 and 1 of 4 at logit -2."""
    score = 1 / (1 + np.exp(-np.array([2.0] * 4 + [-2.0] * 4)))
    positive = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    assert calibration_slope(score, positive) == pytest.approx(np.log(3) / 2)
    assert calibration_slope(score, 1 - positive) == pytest.approx(-np.log(3) / 2)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_calibration_slope_recovers_overconfidence(factor):
    generator = np.random.default_rng(0)
    true = generator.normal(0, 2, 40_000)
    positive = generator.random(40_000) < 1 / (1 + np.exp(-true))
    logits = np.stack([np.zeros_like(true), factor * true], axis=1)
    found = classification_metrics(logits, positive.astype(int), 2)["calibration_slope"]
    assert found == pytest.approx(1 / factor, rel=0.05)


def test_calibration_slope_is_undefined_where_no_maximum_exists():
    assert np.isnan(calibration_slope(np.array([0.1, 0.2, 0.8]), np.array([0, 0, 1])))  # separated
    assert np.isnan(calibration_slope(np.array([0.1, 0.9]), np.array([1, 1])))
    assert np.isnan(calibration_slope(np.array([0.5, 0.5]), np.array([0, 1])))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.int64])
def test_class_numbers_of_any_integer_type_mean_the_same(kind):
    logits, labels = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    assert classification_metrics(logits, labels.astype(kind), 2) == classification_metrics(logits, labels, 2)
    with pytest.raises(InputError, match="class numbers as integers"):
        classification_metrics(logits, labels.astype(float), 2)
