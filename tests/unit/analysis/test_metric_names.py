"""Names are read as they were written, and shorthand finds the recorded name."""

import math

import pytest

from analysis import metric_names
from analysis.metric_names import MetricName
from sweep.core.errors import InputError
from sweep.core.metric_table import METRIC_TABLE

KNOWN = [
    "auroc/source_val",
    "auroc/target",
    "domain_gap",
    "domain_gap/accuracy",
    "robust_accuracy/target/worst@2/255",
    "robust_accuracy/target/pgd@2/255",
    "robust_accuracy/source/pgd@2/255",
]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("auroc/target", MetricName("auroc", "target")),
        ("domain_gap", MetricName("domain_gap")),
        ("domain_gap/accuracy", MetricName("domain_gap/accuracy")),
        ("robust_accuracy/target/pgd@2/255", MetricName("robust_accuracy", "target", "pgd", "2/255")),
        ("robust_auroc/target/transfer:a/b@1/255", MetricName("robust_auroc", "target", "transfer:a/b", "1/255")),
        ("auroc/target/Pleural Effusion", MetricName("auroc", "target", class_name="Pleural Effusion")),
        ("crossing_epsilon/source/fgsm", MetricName("crossing_epsilon", "source", "fgsm")),
    ],
)
def test_parts_of_a_name_and_back(name, parts):
    assert metric_names.parse(name) == parts
    assert str(parts) == name


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("auroc", "auroc/target"),
        ("domain_gap", "domain_gap"),
        ("robust_accuracy@2/255", "robust_accuracy/target/worst@2/255"),
        ("robust_accuracy@0.00784313725", "robust_accuracy/target/worst@2/255"),
        ("robust_accuracy/pgd@2/255", "robust_accuracy/target/pgd@2/255"),
        ("robust_accuracy/source/pgd@2/255", "robust_accuracy/source/pgd@2/255"),
    ],
)
def test_shorthand(spec, name):
    assert metric_names.resolve(spec, KNOWN) == name


def test_unknown_metric_is_told_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean auroc/target"):
        metric_names.resolve("auroc/targt", KNOWN)


def test_unknown_epsilon_lists_those_that_were_recorded():
    with pytest.raises(InputError, match="was not recorded.*worst@2/255"):
        metric_names.resolve("robust_accuracy@9/255", KNOWN)


def test_robustness_of_a_sweep_without_attacks():
    with pytest.raises(InputError, match="add threats"):
        metric_names.resolve("robust_accuracy@2/255", ["auroc/target"])


def test_an_epsilon_that_is_no_number():
    with pytest.raises(InputError, match="is not a number"):
        metric_names.resolve("robust_accuracy@two", KNOWN)


@pytest.mark.parametrize(
    ("name", "goal", "limits"),
    [
        ("auroc/target", "maximize", (0, 1)),
        ("log_loss/target", "minimize", (0, math.inf)),
        ("calibration_error/source", "minimize", (0, 1)),
        ("domain_gap/balanced_accuracy", "minimize", (-1, 1)),
        ("loss/train", "minimize", (0, math.inf)),
        ("average_precision/target", "maximize", (0, 1)),
        ("median_breaking_epsilon/target/worst", "maximize", (0, math.inf)),
        ("robust_auroc/target/worst@2/255", "maximize", (0, 1)),
    ],
)
def test_direction_and_range_come_from_the_row(name, goal, limits):
    assert metric_names.goal(name) == goal and metric_names.limits(name) == limits
    assert metric_names.sign(name) == (1 if goal == "maximize" else -1)


def test_the_direction_of_an_unknown_metric_is_not_guessed():
    with pytest.raises(InputError, match="whether more or less of it is better is not known"):
        metric_names.goal("lossless/target")
    assert metric_names.sign("lossless/target", {"lossless/target": "minimize"}) == -1
    assert metric_names.sign("domain_gap", {"domain_gap": "maximize"}) == 1


@pytest.mark.parametrize("name", METRIC_TABLE)
def test_every_row_is_parsed_titled_and_written_back(name):
    row = METRIC_TABLE[name]
    tail = {
        "alone": "",
        "split": "/target",
        "split/threat": "/target/worst",
        "split/threat@epsilon": "/target/worst@1/255",
    }
    whole = name + tail[row.form]
    assert str(metric_names.parse(whole)) == whole and metric_names.title(whole).startswith(row.title)


def test_values_are_written_in_their_unit():
    assert metric_names.value_text("median_breaking_epsilon/target/worst", 1.5 / 255) == "1.5/255"
    assert metric_names.value_text("median_breaking_epsilon/target/worst", math.inf) == "\N{INFINITY}"
    assert metric_names.value_text("domain_gap", -0.0421) == "\N{MINUS SIGN}0.042"
    assert metric_names.value_text("auroc/target", math.nan) == "\N{EN DASH}"


def test_titles_are_words():
    assert metric_names.title("robust_accuracy/target/worst@2/255") == "Robust accuracy, worst case at 2/255 (target)"
    assert metric_names.title("my_metric/source") == "my metric (source test)"
    assert metric_names.title("log_loss/target") == "Log loss (target)"
