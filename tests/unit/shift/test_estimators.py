"""Estimators of target performance on examples worked by hand, and what holds for every one of them."""

import numpy as np
import pytest

from sweep.evaluation.metrics import auroc
from sweep.shift import calibration, prevalence
from sweep.shift.estimates import from_confusion, from_precisions
from sweep.shift.estimators import ESTIMATORS, agreement_on_the_line, average_confidence, cbpe, pape
from sweep.shift.estimators.seed_disagreement import agreement
from sweep.shift.estimators.thresholded_confidence import share_above
from sweep.shift.evidence import Evidence

METRICS = {"accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "score"}


def gaussian(count, positive_share=0.4, distance=2.0, shift=0.0, seed=0):
    """Logits [N, 2] and labels of two unit Gaussians `distance` apart: the margin is the true log odds without a shift."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(count) < positive_share).astype(int)
    x = draw.standard_normal(count) + distance * labels + shift
    margin = distance * (x - distance / 2) + np.log(positive_share / (1 - positive_share))
    return np.stack([-margin / 2, margin / 2], axis=1), labels


@pytest.fixture(scope="module")
def same():
    source, labels = gaussian(4000, seed=1)
    target, truth = gaussian(4000, seed=2)
    seeds = np.stack([source, source + np.random.default_rng(3).normal(0, 1, source.shape)])
    abroad = np.stack([target, target + np.random.default_rng(4).normal(0, 1, target.shape)])
    return Evidence(source, labels, target, seeds, abroad), truth


def true_metrics(logits, truth):
    confusion = np.zeros((2, 2))
    np.add.at(confusion, (truth, logits.argmax(1)), 1)
    return {**from_confusion(confusion), "auroc": auroc(logits[:, 1] - logits[:, 0], truth == 1)}


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"nuclear_norm", "disagreement"}))
def test_without_a_shift_every_estimate_is_near_the_truth(name, same):
    evidence, truth = same
    true = true_metrics(evidence.target_logits, truth)
    estimate = ESTIMATORS[name](evidence)
    assert estimate and set(estimate) <= METRICS
    for metric, value in estimate.items():
        assert abs(value - true[metric]) < 0.03, (metric, value, true[metric])


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_estimates_do_not_depend_on_the_order_of_images_or_on_a_constant_added_to_the_logits(name, same):
    evidence, _ = same
    order = np.random.default_rng(0).permutation(len(evidence.target_logits))
    moved = Evidence(
        evidence.source_logits + 3.0,
        evidence.source_labels,
        evidence.target_logits[order] + 3.0,
        evidence.source_seeds + 3.0,
        evidence.target_seeds[:, order] + 3.0,
    )
    before, after = ESTIMATORS[name](evidence), ESTIMATORS[name](moved)
    assert before.keys() == after.keys()
    assert all(abs(before[metric] - after[metric]) < 1e-6 for metric in before)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_three_classes_give_an_accuracy_or_a_score(name):
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 3, 600)
    logits = draw.normal(0, 1, (600, 3)) + 2 * np.eye(3)[labels]
    evidence = Evidence(logits, labels, logits, np.stack([logits, logits]), np.stack([logits, logits]))
    estimate = ESTIMATORS[name](evidence)
    true = np.mean(logits.argmax(1) == labels)
    if name in ("nuclear_norm", "disagreement"):
        assert 0 < next(iter(estimate.values())) <= 1
    else:
        assert abs(estimate["accuracy"] - true) < 0.04


def test_threshold_takes_as_many_as_are_right():
    source, right = np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True])
    assert share_above(source, right, source) == 0.5
    assert share_above(source, right, np.array([0.26, 0.24, 0.9])) == pytest.approx(2 / 3)
    assert share_above(source, ~right & False, source) == 0.0 and share_above(source, right | True, source) == 1.0


def test_expected_auroc_by_hand():
    p = np.array([0.9, 0.6, 0.2])
    pairs = 0.9 * 0.4 + 0.9 * 0.8 + 0.6 * 0.8  # positive above negative
    every = pairs + 0.6 * 0.1 + 0.2 * 0.1 + 0.2 * 0.4
    assert cbpe.expected_auroc(p) == pytest.approx(pairs / every)
    assert cbpe.expected_auroc(np.full(5, 0.3)) == pytest.approx(0.5)
    assert np.isnan(cbpe.expected_auroc(np.ones(4)))


def test_expected_auroc_is_the_mean_over_drawn_labels():
    draw = np.random.default_rng(6)
    p = draw.random(300)
    drawn = [auroc(p, draw.random(300) < p) for _ in range(300)]
    assert cbpe.expected_auroc(p) == pytest.approx(np.mean(drawn), abs=0.005)


def test_confusion_by_hand():
    assert from_confusion(np.array([[6, 2], [1, 3]])) == {
        "accuracy": 0.75,
        "balanced_accuracy": 0.75,
        "sensitivity": 0.75,
        "specificity": 0.75,
    }
    predicted = np.array([0] * 6 + [1] * 4)  # precisions 5/6 and 3/4
    assert from_precisions(predicted, np.array([5 / 6, 3 / 4])) == pytest.approx(
        from_confusion(np.array([[5, 1], [1, 3]]))
    )


def test_agreement_is_over_all_pairs_of_seeds():
    assert agreement(np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]])) == pytest.approx((0.75 + 0.5 + 0.25) / 3)


def test_pape_weighs_what_the_target_looks_like():
    source, labels = gaussian(3000, seed=7)
    target = source[labels == 1][:800]
    weights = pape.density_ratio(source, target)
    assert weights.mean() == pytest.approx(1.0) and weights[labels == 1].mean() > 2 * weights[labels == 0].mean()


def test_margins_moved_to_one_side_fool_every_estimator_that_trusts_calibration():
    source, labels = gaussian(3000, seed=8)
    target, truth = gaussian(3000, seed=9)
    target = target + np.array([-4.0, 4.0])
    true = true_metrics(target, truth)
    evidence = Evidence(source, labels, target)
    for name in ("ac", "doc", "atc"):
        assert ESTIMATORS[name](evidence)["accuracy"] > true["accuracy"] + 0.3, name


def test_interval_of_average_confidence_holds_the_truth(same):
    evidence, truth = same
    low, high = average_confidence.interval(evidence)
    accuracy = np.mean(evidence.target_predicted == truth)
    assert low - 0.01 <= accuracy <= high + 0.01 and 0.01 < high - low < 0.05


def test_agreement_on_the_line_follows_accuracy():
    models, true = [], []
    source, labels = gaussian(3000, distance=2.5, seed=10)
    target, truth = gaussian(3000, distance=2.5, seed=11)
    for number, noise in enumerate((0.5, 1.0, 2.0, 3.0, 4.0)):
        draw = np.random.default_rng(20 + number)
        at_home, abroad = draw.normal(0, noise, source.shape), draw.normal(0, 1.5 * noise, target.shape)
        models.append(Evidence(source + at_home, labels, target + abroad))
        true.append(np.mean((target + abroad).argmax(1) == truth))
    found = agreement_on_the_line.estimate_all(models)
    assert np.abs(np.array(found) - true).max() < 0.06
    assert np.isnan(agreement_on_the_line.estimate_all(models[:2])).all()


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_prevalence_is_found(share):
    source, labels = gaussian(6000, seed=12)
    target, truth = gaussian(6000, seed=13)
    rows = np.concatenate(
        [np.flatnonzero(truth == 1)[: int(2000 * share)], np.flatnonzero(truth == 0)[: int(2000 * (1 - share))]]
    )
    evidence = Evidence(source, labels, target[rows])
    for found in (prevalence.bbse(evidence), prevalence.em(evidence)):
        assert found.sum() == pytest.approx(1) and abs(found[1] - share) < 0.05


def test_prevalence_of_a_useless_model_is_unknown():
    logits = np.tile([1.0, 0.0], (50, 1))
    assert np.isnan(prevalence.bbse(Evidence(logits, np.arange(50) % 2, logits))).all()


def test_platt_recovers_slope_and_offset_and_survives_separable_data():
    draw = np.random.default_rng(14)
    z = draw.normal(0, 2, 20_000)
    positive = draw.random(20_000) < calibration.sigmoid(1.5 * z - 0.7)
    slope, offset = calibration.platt(z, positive, np.ones(len(z)))
    assert slope == pytest.approx(1.5, abs=0.08) and offset == pytest.approx(-0.7, abs=0.08)
    slope, offset = calibration.platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]) == 1, np.ones(4))
    assert np.isfinite([slope, offset]).all() and slope > 0
    assert np.isfinite(calibration.platt(np.zeros(4), np.array([0, 1, 1, 1]) == 1, np.ones(4))).all()


@pytest.mark.parametrize(
    ("source", "labels", "target", "says"),
    [
        (np.zeros((4, 2)), np.array([0, 0, 1, 1]), np.zeros((0, 2)), "no target image"),
        (np.zeros((4, 2)), np.zeros(4, int), np.zeros((3, 2)), "1 of 2 classes"),
        (np.zeros((4, 2)), np.zeros(3, int), np.zeros((3, 2)), "do not fit"),
        (np.full((2, 2), np.nan), np.array([0, 1]), np.zeros((3, 2)), "not finite"),
    ],
)
def test_evidence_that_cannot_be_used_is_refused(source, labels, target, says):
    with pytest.raises(ValueError, match=says):
        Evidence(source, labels, target)
