"""Figures by hand on four images, and the gallery's pictures."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.gallery import gallery
from sweep.attacks.network import Passes
from sweep.attacks.outcomes import metrics, outcomes, robust_auroc
from sweep.attacks.result import EpsilonSweep
from tests.fakes.attack_models import lit_halves, plain_models, trained_cnn

INF = math.inf


@pytest.fixture
def result():
    """Images 0..4: classes 1 1 0 0 0, the last a clean mistake."""
    a = torch.tensor([0.1, INF, 0.2, INF, 0.0], dtype=torch.float64)
    b = torch.tensor([0.2, 0.2, INF, INF, 0.0], dtype=torch.float64)
    return EpsilonSweep(
        epsilons=(0.1, 0.2), breaking_epsilon={"a": a, "b": b}, distance={}, clean_right=a > 0,
        logits=torch.tensor([[0, 1.0], [0, 2.0], [0, -1.0], [0, -2.0], [0, 1.5]]), labels=torch.tensor([1, 1, 0, 0, 0]),
        passes=Passes(), passes_by_threat={}, norms={"a": "linf", "b": "linf"}, kinds={"a": "many_step", "b": "many_step"},
    )  # fmt: skip


def test_accuracy_median_and_crossing(result):
    a, b, worst = outcomes(result)
    assert [one.threat for one in (a, b, worst)] == ["a", "b", "worst"]
    assert a.epsilons == (0.0, 0.1, 0.2)
    assert a.robust_accuracy == (0.8, 0.6, 0.4)
    assert worst.robust_accuracy == (0.8, 0.6, 0.2)
    assert (a.median_breaking_epsilon, b.median_breaking_epsilon, worst.median_breaking_epsilon) == (0.2, 0.2, 0.2)
    assert a.constant_accuracy == 0.6
    assert (a.crossing_epsilon, b.crossing_epsilon) == (0.1, 0.2)


def test_auroc_gives_broken_images_the_worst_rank(result):
    assert robust_auroc(result, "a", 0) == 5 / 6  # only (0, 4) is in the wrong order
    assert robust_auroc(result, "a", 0.1) == 2 / 6  # image 0 falls below all, the mistake 4 rises above all
    assert robust_auroc(result, "worst", 0.2) == 0


def test_metrics_carry_their_protocol_in_their_name(result):
    named = metrics(result, "target")
    assert named["robust_accuracy/target/worst@51/255"] == 0.2
    assert named["crossing_epsilon/target/b"] == 0.2


def test_auroc_of_three_classes_is_the_mean_of_one_against_the_rest(result):
    """Log-odds of class 0 for images of classes 0 0 1 2: clean all in order; then image 1 of class 0 is broken."""
    three = replace(
        result, logits=torch.tensor([[4.0, 0, 0], [3.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]), labels=torch.tensor([0, 0, 1, 2]),
        breaking_epsilon={"a": torch.tensor([INF, 0.1, INF, INF], dtype=torch.float64)}, clean_right=torch.ones(4, dtype=torch.bool),
        norms={"a": "linf"}, kinds={"a": "many_step"},
    )  # fmt: skip
    assert robust_auroc(three, "a", 0) == 1
    # Class 0: image 1 falls below both others, 2 of 4 pairs; classes 1 and 2: it rises above their one image, 2 of 3 pairs each.
    assert robust_auroc(three, "a", 0.1) == pytest.approx((2 / 4 + 2 / 3 + 2 / 3) / 3)


def test_auroc_of_findings_is_their_mean_over_known_labels(result):
    nan = math.nan
    two = replace(
        result, logits=torch.tensor([[2.0, -1.0], [1.0, 1.0], [-1.0, 5.0]]), labels=torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, nan]]),
        breaking_epsilon={"a": torch.tensor([0.1, INF, INF], dtype=torch.float64)}, clean_right=torch.ones(3, dtype=torch.bool),
        norms={"a": "linf"}, kinds={"a": "many_step"},
    )  # fmt: skip
    assert robust_auroc(two, "a", 0) == 1
    # Finding 0: image 0 falls below image 2, image 1 stays above; finding 1: image 0 rises above image 1.
    assert robust_auroc(two, "a", 0.1) == pytest.approx((1 / 2 + 0) / 2)


def test_auroc_is_undefined_with_one_kind_alone(result):
    assert math.isnan(robust_auroc(replace(result, labels=torch.ones(5, dtype=torch.int64)), "a", 0.1))


def test_gallery_shows_image_perturbation_colors_and_probabilities():
    images, labels = lit_halves(4)
    with_colors = gallery(plain_models()["honest colorizer"], images, labels, "fgsm", "4/255")
    entry = with_colors[0]
    assert entry.image.shape == entry.perturbation.shape == (12, 12) and entry.image.dtype == np.uint8
    assert entry.colorized.shape == entry.colorized_adversarial.shape == (12, 12, 3)
    assert not np.array_equal(entry.colorized, entry.colorized_adversarial)
    assert entry.scale == pytest.approx(0.5 / (4 / 255), rel=1e-3)
    assert set(np.unique(entry.perturbation)) <= {0, 128, 255}
    assert entry.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert entry.adversarial_probabilities[entry.label] < entry.probabilities[entry.label]
    assert gallery(trained_cnn(), images, labels, "fgsm", "4/255")[0].colorized is None


def test_kept_examples_break_the_model_within_their_distance():
    model, (images, labels) = trained_cnn(), lit_halves(24, seed=3)
    result = epsilon_sweep(
        model, images, labels, ["pgd20", "square30"], ["4/255", "8/255"], AttackOptions(keep_examples=True)
    )
    for name, examples in result.examples.items():
        kept = torch.isfinite(examples).flatten(1).all(dim=1)
        assert kept.equal(torch.isfinite(result.distance[name]) & result.clean_right)
        assert (model(examples[kept]).argmax(1) != labels[kept]).all()
        assert torch.allclose((examples - images)[kept].abs().flatten(1).amax(1).double(), result.distance[name][kept])
