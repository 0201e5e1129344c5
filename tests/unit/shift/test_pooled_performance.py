"""Predictions of several models together on simulated hospitals of known shift: near the truth, covered, with the class mix found."""

from dataclasses import replace

import numpy as np
import pytest

from sweep.evaluation.metrics import auroc
from sweep.shift.margin_mixtures import mixtures_of
from sweep.shift.pooled_performance import HeldOut, ModelEvidence, predict_pooled
from sweep.shift.predicted_performance import METRICS, HospitalResult

FAMILIES = ("matched", "restyled", "acquisition", "both")
SKILLS = (2.0, 2.6, 3.2)


def logits(z):
    return np.stack([-z / 2, z / 2], axis=1)


def hospital(draw, offset, noise, images=200, share=0.4):
    """Labels and margins [models, N]: a scanner adds `offset` to all margins and blurs them by `noise`; models share what is hard."""
    labels = (np.arange(images) < round(share * images)).astype(int)
    hard = draw.normal(0, 0.7, images)
    z = [
        skill * (labels - 0.5) + hard + draw.normal(0, 0.7, images) + draw.normal(0, noise, images) + offset
        for skill in SKILLS
    ]
    return labels, np.array(z)  # fmt: skip


def run(seed, offset, noise, share=0.4, hospitals=24):
    draw = np.random.default_rng(seed)
    labels, source = hospital(draw, 0, 0)
    settings = [(draw.normal(offset / 2, 1.5), draw.uniform(0, 2)) for _ in range(hospitals)]
    made = [hospital(draw, *one) for one in settings]
    hidden, target = hospital(draw, offset, noise, 400, share)
    distances = np.array([abs(a - offset) + abs(b - noise) for a, b in settings])
    models = [
        ModelEvidence(
            logits(source[m]), labels, logits(target[m]),
            [HospitalResult(FAMILIES[k % 4], logits(z[m]), y) for k, (y, z) in enumerate(made)], distances,
        )
        for m in range(len(SKILLS))
    ]  # fmt: skip
    return models, hidden, target


def truth_of(z, labels):
    recalls = [float(np.mean((z > 0)[labels == kind] == kind)) for kind in (0, 1)]
    return {
        "auroc": auroc(z, labels == 1),
        "accuracy": float(np.mean((z > 0) == labels)),
        "balanced_accuracy": float(np.mean(recalls)),
        "sensitivity": recalls[1],
        "specificity": recalls[0],
    }


def over_seeds(offset, noise, share):
    """Mean absolute errors of AUROC and accuracy, and the estimated positive share, over four simulated runs."""
    errors, shares = {"auroc": [], "accuracy": []}, []
    for seed in range(4):
        models, hidden, target = run(seed, offset, noise, share)
        found = predict_pooled(models)
        shares.append(found.prevalence.value)
        for one, z in zip(found.models, target, strict=True):
            for name, values in errors.items():
                values.append(abs(one.metrics[name].value - truth_of(z, hidden)[name]))
    return {name: float(np.mean(values)) for name, values in errors.items()}, float(np.mean(shares))


@pytest.mark.parametrize(("offset", "noise"), [(0.0, 0.3), (2.0, 1.0)])
def test_near_the_truth_where_the_scanner_changed(offset, noise):
    errors, share = over_seeds(offset, noise, 0.4)
    assert max(errors.values()) < 0.06 and abs(share - 0.4) < 0.1


def test_another_class_mix_leaves_the_auroc_near_and_moves_the_estimated_share():
    """Margins that are moved and another mix look alike, so the share stays between the source's and the truth."""
    errors, share = over_seeds(1.0, 0.8, 0.75)
    assert errors["auroc"] < 0.05 and 0.42 < share < 0.75


def test_ninety_percent_intervals_cover_the_truth():
    draw = np.random.default_rng(0)
    covered = dict.fromkeys(METRICS, 0)
    for seed in range(12):
        models, hidden, target = run(seed, draw.normal(0, 1.5), draw.uniform(0, 1.5))
        for one, z in zip(predict_pooled(models).models, target, strict=True):
            for name, value in truth_of(z, hidden).items():
                covered[name] += one.metrics[name].low <= value <= one.metrics[name].high
    assert all(count >= 0.85 * 36 for count in covered.values()), covered


def test_the_share_called_positive_sets_the_threshold_and_not_the_auroc():
    models, hidden, target = run(1, 3.0, 0.5)
    moved = [
        ModelEvidence(m.source_logits, m.source_labels, m.target_logits, m.hospitals, m.distances, called=0.4)
        for m in models
    ]
    plain, shifted = predict_pooled(models), predict_pooled(moved)  # fmt: skip
    for one, other, z in zip(plain.models, shifted.models, target, strict=True):
        assert one.metrics["auroc"] == other.metrics["auroc"]
        called = z > np.quantile(z, 0.6)
        truth = [float(np.mean(called[hidden == 1])), float(np.mean(~called[hidden == 0]))]
        found = [other.metrics[name].value for name in ("sensitivity", "specificity")]
        assert np.abs(np.subtract(found, truth)).max() < 0.12
        assert one.metrics["specificity"].value < other.metrics["specificity"].value


def test_a_model_that_answers_as_on_no_hospital_is_refused():
    models, _, _ = run(2, 0.0, 0.3)
    far = ModelEvidence(
        models[0].source_logits, models[0].source_labels, models[0].target_logits + np.array([-30, 30]), models[0].hospitals, models[0].distances
    )  # fmt: skip
    found = predict_pooled([far, *models[1:]]).models
    assert "no pseudo-hospital" in found[0].refused and found[1].refused is None


def test_shares_of_a_mixture_by_hand():
    negative, positive = np.arange(100.0), np.arange(100.0) + 60
    target = np.concatenate([negative[::4], positive[::4], positive[1::4], positive[2::4]])
    found = mixtures_of([np.concatenate([negative, positive])], [np.repeat([0, 1], 100)], target, 50.0)
    assert found.shares[0] == pytest.approx([0.5, 0.75], abs=0.02)
    assert found.distances[0] == pytest.approx([0, 0], abs=0.02) and found.apart[0] > 0.2


def test_what_cannot_be_predicted_is_refused():
    models, _, _ = run(3, 0.0, 0.3)
    with pytest.raises(ValueError, match="no model"):
        predict_pooled([])
    fewer = ModelEvidence(
        models[1].source_logits, models[1].source_labels, models[1].target_logits, models[1].hospitals[:8], models[1].distances[:8]
    )  # fmt: skip
    with pytest.raises(ValueError, match="different pseudo-hospitals"):
        predict_pooled([models[0], fewer])


def optimistic(draw, images=64):
    """A model whose few validation images look easier than its other held-out images: margins apart by 3 standard deviations instead of 1.5."""
    labels = (np.arange(images) < images // 2).astype(int)
    shown = draw.normal(0, 0.8, images) + 3 * labels
    everyone = (np.arange(400) < 200).astype(int)
    return labels, shown, everyone, draw.normal(0, 1, 400) + 1.5 * everyone


def test_held_out_images_correct_the_means_and_spreads_of_the_few_that_are_shown():
    labels, shown, everyone, margins = optimistic(np.random.default_rng(0))
    known = HeldOut(margins, everyone, shown, labels)
    at_home = known.corrected(shown, labels)
    for kind in (0, 1):
        assert at_home[labels == kind].mean() == pytest.approx(margins[everyone == kind].mean())
        assert at_home[labels == kind].std() == pytest.approx(margins[everyone == kind].std())
    together = np.full(len(shown), 1.0)  # a hospital at which the model tells nothing apart stays one
    assert np.array_equal(known.corrected(together, labels), together)


def test_the_prediction_is_of_other_patients_than_those_shown():
    """Each hospital moves the shown margins; the target moves those of other patients, on whom the model is worse."""
    draw = np.random.default_rng(1)
    labels, shown, everyone, margins = optimistic(draw)
    hospitals = [HospitalResult(FAMILIES[k % 4], logits(shown + draw.normal(0, 0.5)), labels) for k in range(16)]
    target = draw.normal(0, 1, 500) + 1.5 * (np.arange(500) < 250) + 0.3
    evidence = ModelEvidence(logits(shown), labels, logits(target), hospitals, np.ones(16))
    truth = auroc(target, np.arange(500) < 250)
    plain = predict_pooled([evidence]).models[0].metrics["auroc"]
    corrected = (
        predict_pooled([replace(evidence, held_out=HeldOut(margins, everyone, shown, labels))])
        .models[0]
        .metrics["auroc"]
    )
    assert plain.value - truth > 0.1 and plain.low > truth
    assert abs(corrected.value - truth) < 0.04 and corrected.low < truth < corrected.high
