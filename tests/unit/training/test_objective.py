"""Losses against torch's own and against sums by hand."""

import math

import pytest
import torch
import torch.nn.functional as functional

from sweep.core.errors import InputError
from sweep.training.objective import Objective, Target, balanced_weights
from sweep.training.step import mix

LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


def test_plain_is_cross_entropy():
    assert Objective()(LOGITS, LABELS) == functional.cross_entropy(LOGITS, LABELS)


def test_focal_without_focus_is_weighted_cross_entropy():
    weights = torch.tensor([1.0, 2.0, 3.0])
    plain = Objective(class_weights=weights)(LOGITS, LABELS)
    focal = Objective(focal_gamma=1e-9, class_weights=weights)(LOGITS, LABELS)
    assert focal.item() == pytest.approx(plain.item(), rel=1e-5)


def test_focal_by_hand():
    truth = LOGITS.softmax(1)[range(12), LABELS]
    expected = (-((1 - truth) ** 2) * truth.log()).mean()
    assert Objective(focal_gamma=2)(LOGITS, LABELS).item() == pytest.approx(expected.item(), rel=1e-5)


def test_unknown_labels_carry_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    labels = (LOGITS > 0.3).float()
    labels[0], labels[1, 2] = float("nan"), float("nan")
    loss = Objective(label_smoothing=0.1)(logits, labels)
    loss.backward()
    assert torch.isfinite(loss) and logits.grad[0].abs().max() == 0 and logits.grad[1, 2] == 0
    assert (logits.grad[2:] != 0).all()


def test_multi_label_with_everything_known_is_binary_cross_entropy():
    labels = (LOGITS > 0.3).float()
    assert Objective()(LOGITS, labels).item() == pytest.approx(
        functional.binary_cross_entropy_with_logits(LOGITS, labels).item(), rel=1e-6
    )


def test_a_batch_of_unknown_labels_has_zero_loss():
    assert Objective()(LOGITS, torch.full((12, 3), float("nan"))) == 0


def test_balanced_weights_give_classes_equal_totals():
    labels = torch.tensor([0, 0, 0, 1])
    weights = balanced_weights(labels, 2)
    assert torch.allclose(weights * torch.bincount(labels), torch.tensor([2.0, 2.0]))
    several = torch.tensor([[1.0, 0], [0, 0], [0, 1], [float("nan"), 1]])
    assert torch.equal(balanced_weights(several, 2), torch.tensor([2.0, 1.0]))
    rare = torch.cat([torch.ones(1, 1), torch.zeros(99, 1)])
    assert balanced_weights(rare, 1).item() == 20


def test_mixup_blends_images_and_losses_alike():
    images = torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    target = Target(Objective(), torch.arange(4))
    mixed, blended = mix(images, target, 0.4, torch.Generator().manual_seed(1))
    share, partner = blended.share, blended.partner
    assert 0 < share < 1 and sorted(partner.tolist()) == [0, 1, 2, 3]
    assert torch.allclose(mixed, share * images + (1 - share) * images[partner])
    logits = torch.randn(4, 4)
    assert blended.loss(logits) == share * Objective()(logits, target.labels) + (1 - share) * Objective()(
        logits, partner
    )


def test_mixup_shares_are_drawn_from_the_beta_distribution():
    generator = torch.Generator().manual_seed(0)
    target = Target(Objective(), torch.arange(2))
    shares = torch.tensor([mix(torch.rand(2, 1, 1, 1), target, 0.5, generator)[1].share for _ in range(2000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / 8, rel=0.1)  # 1 / (4 (2 alpha + 1))


def by_hand(labels, *, smoothing=0.0, gamma=0.0, weights=(1.0, 1.0, 1.0)):
    """Binary cross-entropy of every known label, summed in plain numbers and divided by their count."""
    total = count = 0
    for logits, truths in zip(LOGITS.double().tolist(), labels.tolist(), strict=True):
        for logit, truth, weight in zip(logits, truths, weights, strict=True):
            if math.isnan(truth):
                continue
            chance, aim = 1 / (1 + math.exp(-logit)), truth * (1 - smoothing) + smoothing / 2
            right = chance if truth == 1 else 1 - chance
            total -= (weight * aim * math.log(chance) + (1 - aim) * math.log(1 - chance)) * (1 - right) ** gamma
            count += 1
    return total / count


FINDINGS = torch.where(LOGITS.roll(1, 0) > 0.2, 1.0, 0.0)
FINDINGS[2, 1] = FINDINGS[7, 0] = float("nan")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"smoothing": 0.2},
        {"gamma": 2.0},
        {"weights": (3.0, 0.5, 1.0)},
        {"smoothing": 0.1, "gamma": 1.5, "weights": (2.0, 1.0, 4.0)},
    ],
    ids=lambda settings: "+".join(settings) or "plain",
)
def test_several_findings_by_hand(settings):
    weights = torch.tensor(settings["weights"]) if "weights" in settings else None
    objective = Objective(settings.get("smoothing", 0.0), settings.get("gamma", 0.0), weights)
    assert objective(LOGITS, FINDINGS).item() == pytest.approx(by_hand(FINDINGS, **settings), rel=1e-5)


def test_smoothed_labels_of_one_class_by_hand():
    share = torch.full((12, 3), 0.3 / 3)
    share[torch.arange(12), LABELS] += 0.7
    expected = -(share * LOGITS.log_softmax(1)).sum(1)
    assert Objective(label_smoothing=0.3)(LOGITS, LABELS).item() == pytest.approx(expected.mean().item(), rel=1e-5)
    doubt = (1 - LOGITS.softmax(1)[torch.arange(12), LABELS]) ** 2
    assert Objective(label_smoothing=0.3, focal_gamma=2)(LOGITS, LABELS).item() == pytest.approx(
        (doubt * expected).mean().item(), rel=1e-5
    )


def test_class_weights_by_hand():
    weights = torch.tensor([0.5, 2.0, 1.0])
    each = -LOGITS.log_softmax(1)[torch.arange(12), LABELS]
    expected = (weights[LABELS] * each).sum() / weights[LABELS].sum()
    assert Objective(class_weights=weights)(LOGITS, LABELS).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int8, torch.int32])
@pytest.mark.parametrize("objective", [Objective(), Objective(0.1, 2.0, torch.tensor([0.5, 2.0]))])
def test_class_numbers_of_any_integer_type_mean_the_same(kind, objective):
    """A uint8 index into the class weights would be a mask, an int32 one an error deep inside the loss."""
    logits, labels = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
    assert objective(logits, labels.to(kind)) == objective(logits, labels)
    assert torch.equal(balanced_weights(labels.to(kind), 2), balanced_weights(labels, 2))
    several = torch.nn.functional.one_hot(labels, 2)
    assert Objective()(logits, several.to(kind)) == Objective()(logits, several.float())


def test_class_numbers_as_floats_are_refused():
    with pytest.raises(InputError, match="labels.long"):
        Objective()(torch.zeros(2, 2), torch.tensor([0.0, 1.0]))
