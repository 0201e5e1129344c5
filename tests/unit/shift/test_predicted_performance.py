"""Predictions from pseudo-hospitals on simulated hospitals whose shift is known: near the truth, covered, and refused when far."""

import numpy as np
import pytest

from sweep.evaluation.metrics import auroc
from sweep.shift.estimators import ESTIMATORS
from sweep.shift.evidence import Evidence
from sweep.shift.predicted_performance import METRICS, HospitalResult, kernel, predict, weighted_quantile

FAMILIES = ("restyled", "acquisition", "both", "prevalence")


def hospital(draw, offset, noise, images=150, share=0.4):
    """Logits [N, 2] and labels of a hospital whose scanner adds `offset` to every margin and blurs the classes by `noise`."""
    labels = (draw.random(images) < share).astype(int)
    labels[:2] = (0, 1)
    z = 3.0 * (labels - 0.5) + draw.normal(0, 1, images) + draw.normal(0, noise, images) + offset
    return np.stack([-z / 2, z / 2], axis=1), labels


def truth_of(logits, labels):
    z = logits[:, 1] - logits[:, 0]
    recalls = [float(np.mean((z > 0)[labels == kind] == kind)) for kind in (0, 1)]
    return {
        "auroc": auroc(z, labels == 1),
        "accuracy": float(np.mean((z > 0) == labels)),
        "balanced_accuracy": float(np.mean(recalls)),
        "sensitivity": recalls[1],
        "specificity": recalls[0],
    }


def sweep_of(draw, hospitals=40):
    return [
        HospitalResult(FAMILIES[number % 4], *hospital(draw, draw.normal(0, 2), draw.uniform(0, 2.5)))
        for number in range(hospitals)
    ]


@pytest.mark.parametrize(("offset", "noise"), [(0.0, 0.3), (2.5, 1.0), (-3.0, 2.0)])
def test_predictions_are_near_the_truth_where_calibration_is_not(offset, noise):
    draw = np.random.default_rng(0)
    source, labels = hospital(draw, 0.0, 0.0)
    target, hidden = hospital(draw, offset, noise, images=600)
    truth = truth_of(target, hidden)
    found = predict(source, target, sweep_of(draw))
    assert found.refused is None and set(found.metrics) == set(METRICS)
    for name in METRICS:
        assert abs(found.metrics[name].value - truth[name]) < 0.15, name
        assert found.metrics[name].low <= found.metrics[name].value <= found.metrics[name].high
    if offset:
        fooled = ESTIMATORS["ac"](Evidence(source, labels, target))["accuracy"]
        assert abs(found.metrics["accuracy"].value - truth["accuracy"]) < 0.5 * abs(fooled - truth["accuracy"])


@pytest.mark.slow  # many simulated hospitals
def test_ninety_percent_intervals_cover_the_truth():
    draw = np.random.default_rng(1)
    source, _ = hospital(draw, 0.0, 0.0)
    hospitals = sweep_of(draw)
    covered = dict.fromkeys(METRICS, 0)
    repeats = 100
    for _ in range(repeats):
        target, hidden = hospital(draw, draw.normal(0, 2), draw.uniform(0, 2.5), images=300)
        truth = truth_of(target, hidden)
        found = predict(source, target, hospitals).metrics
        for name in METRICS:
            covered[name] += found[name].low <= truth[name] <= found[name].high
    assert all(0.82 * repeats <= count for count in covered.values()), covered


def test_a_target_unlike_every_pseudo_hospital_is_refused():
    draw = np.random.default_rng(2)
    source, _ = hospital(draw, 0.0, 0.0)
    target, _ = hospital(draw, 30.0, 0.5)
    found = predict(source, target, sweep_of(draw))
    assert found.refused and "unlike every pseudo-hospital" in found.refused


def test_the_order_of_images_and_labels_of_the_target_do_not_matter():
    draw = np.random.default_rng(3)
    source, _ = hospital(draw, 0.0, 0.0)
    hospitals = sweep_of(draw)
    target, _ = hospital(draw, 1.0, 1.0)
    one, other = (predict(source, rows, hospitals) for rows in (target, target[::-1]))
    assert all(one.metrics[name].value == pytest.approx(other.metrics[name].value) for name in METRICS)


def test_a_threshold_moves_sensitivity_and_specificity_and_not_auroc():
    draw = np.random.default_rng(4)
    source, _ = hospital(draw, 0.0, 0.0)
    target, _ = hospital(draw, 2.0, 1.0)
    hospitals = sweep_of(draw)
    plain, moved = predict(source, target, hospitals), predict(source, target, hospitals, threshold=2.0)
    assert moved.metrics["auroc"] == plain.metrics["auroc"]
    assert moved.metrics["sensitivity"].value < plain.metrics["sensitivity"].value
    assert moved.metrics["specificity"].value > plain.metrics["specificity"].value


def test_weights_and_quantiles_by_hand():
    weights = kernel(np.array([0.0, 0.1, 5.0]))
    assert weights.sum() == pytest.approx(1) and weights[0] > weights[1] > 100 * weights[2]
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 8.0]), 0.9) == 2.0
    assert weighted_quantile(np.array([3.0, 1.0]), np.array([1.0, 1.0]), 0.9) == 3.0


def test_what_cannot_be_predicted_is_refused():
    draw = np.random.default_rng(5)
    source, _ = hospital(draw, 0.0, 0.0)
    with pytest.raises(ValueError, match="1 families"):
        predict(source, source, [HospitalResult("restyled", *hospital(draw, 0, 0))] * 3)
    with pytest.raises(ValueError, match="3 classes"):
        predict(np.zeros((4, 3)), np.zeros((4, 3)), sweep_of(draw, 8))
