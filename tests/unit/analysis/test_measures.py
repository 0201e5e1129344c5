"""Measures under resampling weights equal the recorded metrics at weights of one, for every kind of labels."""

import dataclasses

import numpy as np
import pytest

from analysis.estimates import Estimates
from analysis.intervals import interval, resample
from analysis.outcomes import MEASURES, OF_CLASS_MIX, Outcomes, cases
from sweep.evaluation.metrics import METRICS, classification_metrics

KINDS = ("two classes", "four classes", "findings", "confident")


def outcomes(kind, seed=0, images=60):
    draw = np.random.default_rng(seed)
    width = {"two classes": 2, "four classes": 4, "findings": 3, "confident": 2}[kind]
    labels = draw.integers(0, width, images)
    logits = draw.normal(0, 60 if kind == "confident" else 1.5, (2, images, width)) + 1.2 * np.eye(width)[labels]
    if kind == "findings":
        labels = draw.integers(0, 2, (images, width)).astype(float)
        labels[draw.random(labels.shape) < 0.2] = np.nan
    names = np.array([f"i{n:03d}" for n in range(images)])
    return Outcomes(names, names, labels, (0, 1), logits, np.ones((2, images), dtype=bool))


def test_every_metric_of_evaluation_has_a_measure():
    assert set(MEASURES) == set(METRICS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_its_metric(name, kind):
    made = outcomes(kind)
    ours = MEASURES[name](made, np.ones((1, len(made.images))))[0]
    theirs = [classification_metrics(logits, made.labels, made.values.shape[2])[name] for logits in made.values]
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MEASURES)
def test_weights_count_images_as_often_as_they_say(name, kind):
    made = outcomes(kind, images=24)
    times = np.random.default_rng(1).integers(0, 3, 24)
    repeated = made.take([0, 1], np.repeat(np.arange(24), times))
    weighted = MEASURES[name](made, times[None].astype(float))[0]
    assert weighted == pytest.approx(MEASURES[name](repeated, np.ones((1, times.sum())))[0], abs=1e-12)


def test_confident_logits_are_ranked_by_their_margin():
    logits = np.array([[[0, 40.0], [0, 50], [0, 60], [0, 45]]])
    names = np.array(list("abcd"))
    made = Outcomes(names, names, np.array([0, 1, 1, 0]), (0,), logits, np.ones((1, 4), dtype=bool))
    for name in ("auroc", "average_precision"):
        assert MEASURES[name](made, np.ones((1, 4)))[0, 0] == 1.0


def test_cases_are_those_that_the_measure_rests_on():
    labels = np.array([1] * 5 + [0] * 45)
    names = np.array([f"i{n:03d}" for n in range(50)])
    made = Outcomes(names, names, labels, (0,), np.zeros((1, 50, 2)), np.ones((1, 50), dtype=bool))
    found = {name: cases(made, measure) for name, measure in MEASURES.items()}
    assert found["auroc"] == found["balanced_accuracy"] == found["sensitivity"] == 5
    assert found["specificity"] == 45 and found["accuracy"] == found["log_loss"] == 50


@pytest.mark.parametrize("metric", ["sensitivity", "specificity", "log_loss", "calibration_error", "average_precision"])
def test_every_clean_metric_has_an_interval_over_patients(run, estimates, metric):
    made = estimates.of(run.means.index[0], f"{metric}/target")
    assert made.images == 40 and made.low < made.estimate < made.high


@pytest.mark.parametrize("metric", ["domain_gap/balanced_accuracy", "domain_gap_vs_real_only"])
def test_every_gap_has_an_interval_over_patients(run, estimates, metric):
    for key in run.means.index:
        made = estimates.of(key, metric)
        assert made.images == 80 and made.estimate == pytest.approx(run.means.loc[key, metric])


def test_a_gap_against_a_partner_of_other_seeds_uses_its_mean(run, estimates):
    sample = estimates.gap_against(run.means.index[0], run.means.index[1])
    assert sample.seeds == (0, 1, 2)
    fewer = run.records.drop((run.means.index[0], 1))
    other = Estimates(dataclasses.replace(run, records=fewer, cache={}), draws=200)
    part = other.gap_against(run.means.index[0], run.means.index[1])
    source = run.records.loc[run.means.index[0], "auroc/source"]
    target = run.records.loc[run.means.index[1], "auroc/target"]
    assert part.point == pytest.approx(
        [source[0] - target[0], (source[0] + source[2]) / 2 - target[1], source[2] - target[2]]
    )


def test_the_class_mix_is_drawn_for_measures_that_depend_on_it():
    names = np.array([f"i{n:03d}" for n in range(50)])
    labels = (np.arange(50) < 20).astype(int)
    logits = np.tile([1.0, 0.0], (1, 50, 1))  # always class 0
    made = Outcomes(names, names, labels, (0,), logits, np.ones((1, 50), dtype=bool))
    accuracy = interval(resample(made, MEASURES["accuracy"], draws=2000), limits=(0.0, 1.0), share=True)
    assert accuracy.estimate == 0.6 and accuracy.low < 0.5 and accuracy.high > 0.7
    assert MEASURES["balanced_accuracy"] not in OF_CLASS_MIX and MEASURES["auroc"] not in OF_CLASS_MIX
