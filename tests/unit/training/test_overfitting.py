"""Catastrophic overfitting is detected, recorded and stopped; gradient alignment is the published penalty."""

import numpy as np
import pytest
import torch
from torch import nn

from sweep.core.metric_table import metric_row
from sweep.training import fit as fit_module
from sweep.training.adversarial import misalignment
from sweep.training.fit import fit
from sweep.training.overfitting import SEVERAL, SINGLE, OverfittingWatch, first_overfitting, overfitted, watch_for
from sweep.training.recipe import Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

EPS, CPU = 0.1, torch.device("cpu")
SETTINGS = {
    "epochs": 4, "batch_size": 8, "lr": 1e-2, "augment": "none", "patience": 0, "precision": "fp32", "train_eps": EPS, "train_attack": "fgsm",
}  # fmt: skip


def history(*pairs, phase=1):
    return [{"epoch": n, "phase": phase, SINGLE: one, SEVERAL: many} for n, (one, many) in enumerate(pairs, start=1)]


def train(recipe, **options):
    model = ToyClassifier(dropout=0.0)
    return model, fit(
        model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), recipe, seed=0, **fit_arguments(**options)
    )


def test_a_collapse_under_pgd_alone_is_overfitting():
    assert first_overfitting(history((0.6, 0.5), (0.7, 0.55), (0.95, 0.1), (0.9, 0.0))) == {
        "epoch": 3,
        "fgsm": 0.95,
        "pgd": 0.1,
    }


@pytest.mark.parametrize(
    "pairs",
    [
        [(0.6, 0.5), (0.9, 0.35)],  # falls, but not to half
        [(0.6, 0.5), (0.3, 0.1)],  # both fall: a worse model
        [(0.9, 0.1)],  # nothing to compare with
        [(0.5, 0.0), (0.9, 0.0)],  # PGD has never left anything
    ],
)
def test_other_courses_are_not(pairs):
    assert first_overfitting(history(*pairs)) is None


def test_epochs_of_another_phase_are_not_compared():
    assert not overfitted([*history((0.6, 0.5)), {"epoch": 2, "phase": 2, SINGLE: 0.9, SEVERAL: 0.1}])
    assert not overfitted([{"epoch": 1, "phase": 1, "loss/train": 0.3}])


@pytest.mark.parametrize(("attack", "watched"), [("fgsm", True), ("free", True), ("pgd", False), ("trades", False)])
def test_single_step_attacks_are_watched(attack, watched):
    recipe = Recipe(**SETTINGS | {"train_attack": attack})
    assert (watch_for(toy_images(8), recipe, CPU, 0) is not None) == watched
    assert watch_for(toy_images(8), Recipe(train_attack=attack), CPU, 0) is None


class Ditch(nn.Module):
    """Class 1 wins near the middle grey level and from 0.9 eps off it, and loses between: one full step passes over the ditch."""

    def forward(self, images):
        off = (images.mean((1, 2, 3)) - 0.5).abs() / EPS
        logit = torch.where(off < 0.9, (1 - 5 * off).clamp(min=-1), 1 + 0 * off)
        return torch.stack([torch.zeros_like(logit), logit], 1)


def test_both_accuracies_by_hand():
    images, labels = np.full((6, 8, 8), 130, np.uint8), np.ones(6, np.int64)
    found = OverfittingWatch((images, labels), Recipe(**SETTINGS), CPU, 0)(Ditch())
    assert found == {SINGLE: 1.0, SEVERAL: 0.0}
    assert all(metric_row(name) is not None for name in found)


def test_findings_must_all_stand_and_unknown_ones_do_not_count():
    class Constant(nn.Module):
        def forward(self, images):
            return torch.tensor([2.0, -2.0]).expand(len(images), 2) + 0 * images.sum((1, 2, 3))[:, None]

    labels = np.array([[1, 0], [1, 1], [np.nan, 0], [np.nan, np.nan]])
    watch = OverfittingWatch((np.zeros((4, 8, 8), np.uint8), labels), Recipe(**SETTINGS), CPU, 0)
    assert len(watch.images) == 3 and watch(Constant()) == {SINGLE: pytest.approx(2 / 3), SEVERAL: pytest.approx(2 / 3)}


def test_watching_changes_no_weight(monkeypatch):
    watched, result = train(Recipe(**SETTINGS))
    assert all(SINGLE in epoch and SEVERAL in epoch for epoch in result.history)
    monkeypatch.setattr(fit_module, "watch_for", lambda *_: None)
    unwatched, _ = train(Recipe(**SETTINGS))
    assert all(torch.equal(value, unwatched.state_dict()[name]) for name, value in watched.state_dict().items())


def test_a_stopped_training_keeps_the_best_weights_before_it(monkeypatch):
    course = {1: (0.6, 0.5), 2: (0.6, 0.5), 3: (1.0, 0.0), 4: (1.0, 0.0)}

    def script():
        calls = iter(course.values())
        return lambda *_: lambda model: dict(zip((SINGLE, SEVERAL), next(calls), strict=True))

    states = []
    for stop, epochs in ((True, 3), (False, 4)):
        monkeypatch.setattr(fit_module, "watch_for", script())
        _, result = train(Recipe(**SETTINGS, stop_overfitting=stop), save_state=states.append)
        assert result.epochs_run == epochs and result.overfitting == {"epoch": 3, "fgsm": 1.0, "pgd": 0.0}
        assert not stop or result.best_epoch < 3
    # A run that ended there does not train on when it is resumed.
    monkeypatch.setattr(fit_module, "watch_for", script())
    _, resumed = train(Recipe(**SETTINGS, stop_overfitting=True), state=states[2])
    assert resumed.epochs_run == 3 and resumed.best_epoch < 3


def test_misalignment_by_hand():
    """Gradients of x'Ax / 2 are Ax: here (2, 0) and (2, 1) for the first image, orthogonal for the second, none for the third."""
    at = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    elsewhere = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]).view(3, 1, 1, 2)
    scale = torch.tensor([2.0, 1.0], requires_grad=True)
    loss = lambda x: 0.5 * (x.flatten(1).square() * scale).sum(1).mean()
    apart = misalignment(loss, at, elsewhere)
    assert apart.item() == pytest.approx(((1 - 2 / 5**0.5) + 1) / 2)
    apart.backward()
    # The cosine a / sqrt(a^2 + b^2) of a = scale[0], b = scale[1]: its derivatives are b^2 / r^3 and -a b / r^3.
    r3 = 5**1.5
    torch.testing.assert_close(scale.grad, torch.tensor([-1 / r3, 2 / r3]) / 2)


def test_a_linear_model_is_aligned_everywhere():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    images, labels = torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 0, 1])
    loss = lambda x: nn.functional.cross_entropy(flat(x), labels)
    assert misalignment(loss, images, torch.rand(4, 1, 4, 4)).item() == pytest.approx(0, abs=1e-6)


def test_attention_has_a_second_derivative():
    layer = nn.TransformerEncoderLayer(4, 1, 8, dropout=0.0, batch_first=True)
    loss = lambda x: layer(x.flatten(1, 2)).square().mean()
    apart = misalignment(loss, torch.rand(2, 1, 3, 4), torch.rand(2, 1, 3, 4))
    apart.backward()
    assert layer.self_attn.in_proj_weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dual", [False, True])
def test_the_penalty_trains_towards_aligned_gradients(dual):
    images, labels = toy_images(32)
    inputs, truth = torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels)
    there = inputs + (torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1) * EPS

    def apart(weight):
        model, result = train(Recipe(**SETTINGS | {"epochs": 6}, grad_align=weight, dual_bn=dual))
        assert np.isfinite(result.history[-1]["loss/train"])
        return misalignment(lambda x: nn.functional.cross_entropy(model(x), truth), inputs, there).item()

    assert apart(2.0) < apart(0.0)
