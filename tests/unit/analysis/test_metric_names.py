"""Names are read as they were written, and shorthand finds the recorded name."""

import pytest

from analysis import metric_names
from analysis.metric_names import MetricName
from sweep.core.errors import InputError

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


@pytest.mark.parametrize(("text", "value"), [("2/255", 2 / 255), ("0.5/255", 0.5 / 255), ("0.01", 0.01)])
def test_epsilon(text, value):
    assert metric_names.epsilon(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["two", "2/", "1/0"])
def test_epsilon_that_is_no_number(text):
    with pytest.raises(InputError, match="is not a number"):
        metric_names.epsilon(text)


def test_less_is_better_for_gaps_and_losses_unless_the_sweep_says_otherwise():
    assert [metric_names.sign(name) for name in ("auroc/target", "domain_gap", "loss/train", "ece/target")] == [
        1,
        -1,
        -1,
        -1,
    ]
    assert metric_names.sign("domain_gap", {"domain_gap": "maximize"}) == 1


def test_titles_are_words():
    assert metric_names.title("robust_accuracy/target/worst@2/255") == "Robust accuracy, worst case at 2/255 (target)"
    assert metric_names.title("my_metric/source") == "my metric (source test)"
