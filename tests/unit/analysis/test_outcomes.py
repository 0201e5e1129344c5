"""Weighted measures equal what they weigh: repeating an image is giving it weight."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import order_measures
from analysis.order_measures import weighted_auroc
from analysis.outcomes import (
    MEASURES,
    Outcomes,
    attacked_logits,
    auroc,
    breaking_outcomes,
    prediction_outcomes,
    standing_at,
)


def robust_outcomes(attacks, split, eps, threat="worst"):
    """Hits at one epsilon."""
    breaking = breaking_outcomes(attacks, split, threat)
    return None if breaking is None else standing_at(breaking, eps)


def sample(labels, scores, groups=None):
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    count = scores.shape[1]
    images = np.array([f"i{n}" for n in range(count)])
    return Outcomes(
        images,
        images if groups is None else np.asarray(groups, dtype=str),
        np.asarray(labels),
        tuple(range(len(scores))),
        np.stack([-scores, scores], axis=-1),
        np.ones(scores.shape, dtype=bool),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=4, max_size=25))
def test_area_under_roc_is_mann_whitney_with_repeats_and_ties(rows):
    positive, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    repeated, label = np.repeat(scores, weights), np.repeat(positive, weights)
    if not (0 < label.sum() < len(label)):
        return
    statistic = stats.mannwhitneyu(repeated[label], repeated[~label]).statistic / (label.sum() * (~label).sum())
    assert weighted_auroc(scores, positive, weights[None].astype(float))[0] == pytest.approx(statistic)


def test_both_ways_to_the_area_agree(monkeypatch):
    draw = np.random.default_rng(0)
    scores, positive, weights = (
        draw.integers(0, 9, 60),
        draw.random(60) < 0.4,
        draw.integers(0, 3, (7, 60)).astype(float),
    )
    by_pairs = weighted_auroc(scores, positive, weights)
    monkeypatch.setattr(order_measures, "_PAIRS_AT_ONCE", 0)
    np.testing.assert_allclose(weighted_auroc(scores, positive, weights), by_pairs, atol=1e-12)


def test_area_without_one_class_is_nan():
    assert np.isnan(weighted_auroc(np.array([1.0, 2.0]), np.array([True, False]), np.array([[1.0, 0.0]])))[0]


def test_measures_by_hand():
    four = sample([1, 1, 0, 0], [[2.0, -1.0, -2.0, 1.0]])
    ones = np.ones((1, 4))
    assert MEASURES["accuracy"](four, ones) == pytest.approx(0.5)
    assert MEASURES["auroc"](four, ones) == pytest.approx(0.75)
    assert MEASURES["balanced_accuracy"](four, np.array([[3.0, 1, 1, 1]])) == pytest.approx((0.75 + 0.5) / 2)


def test_more_than_two_classes_use_one_against_rest():
    logits = np.eye(3)[None] * 5
    three = Outcomes(
        np.array(list("abc")), np.array(list("abc")), np.arange(3), (0,), logits, np.ones((1, 3), dtype=bool)
    )
    assert MEASURES["auroc"](three, np.ones((1, 3))) == pytest.approx(1.0)


def test_an_image_that_a_seed_did_not_see_does_not_count_for_it():
    frame = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "a", "b"],
            "group": "",
            "split": "target",
            "label": [1, 0, 1, 1, 0],
            "seed": [0, 0, 0, 1, 1],
            "logits": [[0, 1], [1, 0], [1, 0], [0, 1], [1, 0]],
        }
    )
    made = prediction_outcomes(frame, "target")
    np.testing.assert_allclose(MEASURES["accuracy"](made, np.ones((1, 3))), [[2 / 3, 1.0]])
    assert made.groups.tolist() == ["a", "b", "c"], "an unknown patient is the image itself"


def test_images_without_a_label_are_neither_right_nor_wrong():
    head = {"image_id": ["a", "b", "c"], "group": "", "split": "target", "seed": 0}
    logits = pd.DataFrame({**head, "label": [1, -1, 0], "logits": [[0, 1], [0, 1], [0, 1]]})
    attacks = pd.DataFrame({**head, "label": [1, -1, 0], "threat": "fgsm", "breaking_eps": [1.0, 1.0, 0.0]})
    assert prediction_outcomes(logits, "target").labels.tolist() == [1, 0]
    assert robust_outcomes(attacks, "target", 0.1).labels.tolist() == [1, 0]
    assert prediction_outcomes(logits.assign(label=-1), "target") is None
    assert robust_outcomes(attacks.assign(label=-1), "target", 0.1) is None


def test_worst_case_takes_the_smallest_breaking_epsilon_per_image():
    frame = pd.DataFrame(
        {
            "image_id": ["a", "b", "a", "b"],
            "group": ["p", "q"] * 2,
            "split": "target",
            "label": 1,
            "seed": 0,
            "threat": ["fgsm", "fgsm", "pgd", "pgd"],
            "breaking_eps": [np.inf, 2 / 255, 4 / 255, np.inf],
        }
    )
    hits = {
        threat: robust_outcomes(frame, "target", 2 / 255, threat).values.tolist() for threat in ("fgsm", "pgd", "worst")
    }
    assert hits == {"fgsm": [[1, 0]], "pgd": [[1, 1]], "worst": [[1, 0]]}
    assert robust_outcomes(frame, "source", 2 / 255) is None


@pytest.mark.parametrize("split", ["source_val", "source", "target"])
def test_measures_equal_the_recorded_metrics(run, estimates, split):
    key = run.means.index[0]
    for family in ("auroc", "accuracy", "balanced_accuracy"):
        point = estimates.resampled(key, f"{family}/{split}").point
        np.testing.assert_allclose(point, run.records.loc[key, f"{family}/{split}"].to_numpy(), atol=1e-12)


def test_robust_accuracy_equals_the_recorded_metric(run, estimates):
    key = run.means.index[-1]
    for name in ("robust_accuracy/target/worst@2/255", "robust_accuracy/source/fgsm@0.5/255"):
        np.testing.assert_allclose(
            estimates.resampled(key, name).point, run.records.loc[key, name].to_numpy(), atol=1e-12
        )


def findings_of(labels, logits):
    images = np.array([f"i{n}" for n in range(len(labels))])
    return Outcomes(
        images,
        images,
        np.asarray(labels, float),
        tuple(range(len(logits))),
        np.asarray(logits, float),
        np.ones((len(logits), len(labels)), bool),
    )


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"calibration_error"}))  # which asks findings for presence
def test_several_findings_are_averaged_over_those_that_define_the_measure(name):
    draw = np.random.default_rng(3)
    labels = (draw.random((50, 4)) < 0.4).astype(float)
    labels[draw.random((50, 4)) < 0.2] = np.nan
    labels[:, 3] = 0  # never present: ranks and sensitivity are undefined for it
    several = findings_of(labels, draw.normal(size=(2, 50, 4)))
    weights = draw.integers(0, 3, (5, 50)).astype(float)
    each = []
    for k in range(4):
        known = ~np.isnan(labels[:, k])
        alone = sample(labels[known, k].astype(int), several.values[:, known, k] / 2)
        each.append(MEASURES[name](alone, weights[:, known]))
    np.testing.assert_allclose(MEASURES[name](several, weights), np.nanmean(each, axis=0))


def test_findings_come_back_from_files():
    rows = pd.DataFrame(
        {
            "image_id": ["b", "a"],
            "group": ["", "p"],
            "labels": [[1, np.nan], [0, 1]],
            "seed": 0,
            "split": "target",
            "logits": [[1.0, 2.0], [3.0, 4.0]],
            "threat": "fgsm",
            "breaking_eps": [0.1, np.inf],
        }
    )
    made, robust = prediction_outcomes(rows, "target"), robust_outcomes(rows, "target", 0.2)
    for one in (made, robust):
        np.testing.assert_array_equal(one.labels, [[0, 1], [1, np.nan]])
    assert made.multi_label and not robust.multi_label and robust.values.tolist() == [[1, 0]]


def test_patients_are_drawn_within_their_rarest_finding():
    from analysis.intervals import _strata

    assert _strata(np.array([[1, 1], [1, 0], [0, 0], [1, np.nan]])).tolist() == [2, 1, 0, 1]


class TestAucUnderAttack:
    """The same five images as the engine's own test: classes 1 1 0 0 0, the last a clean mistake."""

    def frames(self):
        images, labels = [f"i{n}" for n in range(5)], [1, 1, 0, 0, 0]
        head = pd.DataFrame({"image_id": images, "group": images, "split": "target", "label": labels, "seed": 0})
        attacks = head.assign(threat="a", breaking_eps=[0.1, np.inf, 0.2, np.inf, 0.0])
        unseen = pd.DataFrame(
            {"image_id": ["z"], "group": ["z"], "split": "target", "label": [1], "seed": 0, "logits": [[0.0, 9.0]]}
        )
        return pd.concat(
            [unseen, head.assign(logits=[[0, 1.0], [0, 2.0], [0, -1.0], [0, -2.0], [0, 1.5]])], ignore_index=True
        ), attacks

    @pytest.mark.parametrize(("eps", "expected"), [(0.0, 5 / 6), (0.1, 2 / 6), (0.2, 0.0)])
    def test_broken_images_get_the_worst_rank(self, eps, expected):
        predictions, attacks = self.frames()
        made = attacked_logits(
            prediction_outcomes(predictions, "target"), robust_outcomes(attacks, "target", eps), clean=eps == 0
        )
        if eps == 0.2:
            expected = 2 / 6 - 1 / 6  # image 2 rises above image 1 too
        assert len(made.images) == 5 and auroc(made, np.ones((1, 5)))[0, 0] == pytest.approx(expected)

    def test_three_classes_are_one_against_the_rest_each(self):
        head = pd.DataFrame(
            {"image_id": list("abcd"), "group": list("abcd"), "split": "target", "label": [0, 0, 1, 2], "seed": 0}
        )
        logits = [[4.0, 0, 0], [3.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]
        attacks = head.assign(threat="a", breaking_eps=[np.inf, 0.1, np.inf, np.inf])
        made = attacked_logits(
            prediction_outcomes(head.assign(logits=logits), "target"), robust_outcomes(attacks, "target", 0.1)
        )
        assert auroc(made, np.ones((1, 4)))[0, 0] == pytest.approx((2 / 4 + 2 / 3 + 2 / 3) / 3)

    def test_of_findings_each_is_lost_where_the_image_is_broken(self):
        head = pd.DataFrame({"image_id": list("abc"), "group": list("abc"), "split": "target", "seed": 0})
        head["labels"] = [[1.0, 0.0], [1.0, 1.0], [0.0, np.nan]]
        attacks = head.assign(threat="a", breaking_eps=[0.1, np.inf, np.inf])
        predicted = prediction_outcomes(head.assign(logits=[[2.0, -1.0], [1.0, 1.0], [-1.0, 5.0]]), "target")
        made = attacked_logits(predicted, robust_outcomes(attacks, "target", 0.1))
        assert auroc(made, np.ones((1, 3)))[0, 0] == pytest.approx((1 / 2 + 0) / 2)
