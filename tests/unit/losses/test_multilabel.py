"""Uncertain labels and the loss over known ones."""

import pytest
import torch

from sweep.core.errors import InputError
from sweep.losses.multilabel import CHEXPERT, POLICIES, multilabel_loss, positive_weights, resolve_uncertain
from sweep.models.classifier import build_classifier

NAN = float("nan")
LABELS = torch.tensor([[1.0, 0.0, NAN, -1.0, -1.0], [-1.0, -1.0, 1.0, 0.0, NAN]])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("ones", [[1, 0, 0, 1, 1], [1, 1, 1, 0, 0]]),
        ("zeros", [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]),
        ("mix", [[1, 0, 0, 1, 0], [1, 0, 1, 0, 0]]),
        ("ignore", [[1, 0, 0, NAN, NAN], [NAN, NAN, 1, 0, 0]]),
    ],
)
def test_policies(policy, expected):
    assert policy in POLICIES
    torch.testing.assert_close(resolve_uncertain(LABELS, policy), torch.tensor(expected).float(), equal_nan=True)


def test_mix_follows_names_not_places():
    found = resolve_uncertain(torch.tensor([[-1.0, -1.0]]), "mix", ("Cardiomegaly", "Edema"))
    assert found.tolist() == [[0, 1]]


def test_ignored_targets_change_neither_loss_nor_gradient():
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = resolve_uncertain(LABELS, "ignore")
    loss = multilabel_loss(logits, targets)
    loss.backward()
    known = ~targets.isnan()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[known], targets[known])
    torch.testing.assert_close(loss, expected)
    assert (logits.grad[~known] == 0).all() and (logits.grad[known] != 0).all()


def test_nothing_known_costs_nothing():
    logits = torch.zeros(2, 5, requires_grad=True)
    loss = multilabel_loss(logits, torch.full((2, 5), NAN))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_positive_weights_balance_and_are_limited():
    targets = torch.tensor([[1, 0, NAN], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    assert positive_weights(targets).tolist() == pytest.approx([3, 4, 1 / 20])


def test_a_multi_label_head_learns_five_findings_at_once():
    model = build_classifier(backbone="small_cnn", num_classes=len(CHEXPERT), image_px=32, seed=0)
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = (torch.rand(8, 5, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        losses.append(multilabel_loss(model(images), targets, positive_weights(targets)))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: resolve_uncertain(LABELS, "one"), "did you mean ones"),
        (lambda: resolve_uncertain(LABELS, "mix", ("Edema",)), "5 columns for 1 classes"),
        (lambda: resolve_uncertain(torch.tensor([[2.0]]), "mix", ("Edema",)), "value 2"),
    ],
)
def test_mistakes_are_input_errors(call, words):
    with pytest.raises(InputError, match=words):
        call()
