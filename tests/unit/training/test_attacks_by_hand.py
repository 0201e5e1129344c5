"""Attacks of the training step, worked out by hand: their direction, their strides, and what is learnt from them."""

import copy
import dataclasses

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from sweep.core.hashing import content_hash
from sweep.core.hyperparameter import FIRST
from sweep.training.adversarial import TRAIN_ATTACKS, AdversarialStep, perturb
from sweep.training.checkpoint import _identity
from sweep.training.fit import fit
from sweep.training.objective import Objective, Target
from sweep.training.optimizer import build_optimizer
from sweep.training.procedures import phases
from sweep.training.recipe import RECIPE_ROWS, Recipe
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

EPS, STEPS, BETA = 0.1, 3, 2.0
SETTINGS = {
    "batch_size": 8,
    "augment": "none",
    "patience": 0,
    "precision": "fp32",
    "train_eps": EPS,
    "train_attack_steps": STEPS,
    "trades_beta": BETA,
}
LONG = {**SETTINGS, "epochs": 25, "lr": 5e-3}


@pytest.fixture(scope="module")
def learnt():
    """A model that tells the classes apart, so that an attack has something to undo."""
    model = ToyClassifier(dropout=0.0)
    fit(model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), Recipe(**LONG | {"train_eps": 0.0}), seed=0)
    return model


def batch():
    images, labels = toy_images(16, seed=3)
    return torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels)


def drawn():
    return torch.Generator().manual_seed(5)


def attacked(learnt, name, **changes):
    """What one update learns from, the losses it tells, and the model as it was before; the weights stand still."""
    model, recipe = (
        copy.deepcopy(learnt).train(),
        Recipe(**SETTINGS | changes, train_attack=name, lr=0.0, optimizer="sgd"),
    )
    step = AdversarialStep(
        model, model, build_optimizer(model, phases(recipe)[0], recipe), Objective(), recipe, torch.device("cpu")
    )
    seen, loss = [], step.loss
    step.loss = lambda inputs, logit_loss: seen.append(inputs.detach().clone()) or loss(inputs, logit_loss)
    images, labels = batch()
    losses = step.update(images, Target(Objective(), labels), drawn())
    return seen, [value.item() for value in losses], copy.deepcopy(learnt)


def ball(images, moved):
    return (images + (moved - images).clamp(-EPS, EPS)).clamp(0, 1)


def uphill(loss, images):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(loss(images), images)[0].sign()


@pytest.mark.parametrize(("name", "strides"), [("fgsm", [1.25 * EPS]), ("pgd", [2.5 * EPS / STEPS] * STEPS)])
def test_steps_go_uphill_from_a_random_start(learnt, name, strides):
    (seen,), _, model = attacked(learnt, name, fgsm_start="uniform")
    images, labels = batch()
    expected = ball(images, images + (torch.rand(images.shape, generator=drawn()) * 2 - 1) * EPS)
    for stride in strides:
        expected = ball(images, expected + stride * uphill(lambda x: cross_entropy(model.eval()(x), labels), expected))
    torch.testing.assert_close(seen, expected, atol=1e-6, rtol=0)


def test_n_fgsm_steps_once_from_noise_of_twice_the_budget_without_projection(learnt):
    (seen,), _, model = attacked(learnt, "fgsm")
    images, labels = batch()
    noisy = (images + (torch.rand(images.shape, generator=drawn()) * 2 - 1) * 2 * EPS).clamp(0, 1)
    slope = uphill(lambda x: cross_entropy(model.eval()(x), labels), noisy)
    torch.testing.assert_close(seen, (noisy + EPS * slope).clamp(0, 1), atol=1e-6, rtol=0)
    assert EPS < (seen - images).abs().max() <= 3 * EPS + 1e-6


def test_a_checkpoint_of_a_run_without_the_setting_fits():
    """Half-trained runs of version 0.1 resume: neither their start nor an attack without one has changed."""
    later = {row.name for row in RECIPE_ROWS if row.since != FIRST}
    old = {name: value for name, value in dataclasses.asdict(Recipe()).items() if name not in later}
    for changes in ({}, {"train_eps": 0.1}, {"train_eps": 0.1, "train_attack": "fgsm", "fgsm_start": "uniform"}):
        known = old | {name: value for name, value in changes.items() if name != "fgsm_start"}
        assert _identity(Recipe(**changes), 3) == content_hash({"recipe": known, "seed": 3})
    new = Recipe(train_eps=0.1, train_attack="fgsm")
    assert _identity(new, 3) != _identity(dataclasses.replace(new, fgsm_start="uniform"), 3)


def test_trades_moves_predictions_away_from_the_clean_ones_and_weighs_both(learnt):
    (seen,), (loss,), model = attacked(learnt, "trades")
    images, labels = batch()
    clean = model.eval()(images).detach().log_softmax(1)
    apart = lambda x, against: kl_div(x.log_softmax(1), against, reduction="batchmean", log_target=True)
    expected = ball(images, images + 1e-3 * torch.randn(images.shape, generator=drawn()))
    for _ in range(STEPS):
        expected = ball(images, expected + 2.5 * EPS / STEPS * uphill(lambda x: apart(model(x), clean), expected))
    torch.testing.assert_close(seen, torch.cat([images, expected]), atol=1e-6, rtol=0)
    natural, moved = model.train()(torch.cat([images, expected])).chunk(2)
    by_hand = cross_entropy(natural, labels) + BETA * apart(moved, natural.log_softmax(1))
    assert loss == pytest.approx(by_hand.item(), rel=1e-4)


def test_free_training_climbs_by_the_gradient_that_each_replay_leaves(learnt):
    seen, losses, model = attacked(learnt, "free")
    images, labels = batch()
    delta, model = torch.zeros_like(images), model.train()
    for replay in range(STEPS):
        expected = (images + delta).clamp(0, 1)
        torch.testing.assert_close(seen[replay], expected, atol=1e-6, rtol=0)
        delta = (delta + EPS * uphill(lambda x: cross_entropy(model(x), labels), expected)).clamp(-EPS, EPS)
    assert len(seen) == len(losses) == STEPS and losses[-1] > losses[0]


@pytest.mark.parametrize("name", TRAIN_ATTACKS)
def test_every_attack_hurts_far_more_than_noise_of_its_size(learnt, name):
    seen, _, model = attacked(learnt, name)
    images, labels = batch()
    loss = lambda x: cross_entropy(model.eval()(x), labels).item()
    signs = torch.rand(images.shape, generator=drawn()).sub(0.5).sign()
    assert loss(seen[-1][-len(images) :]) > loss(ball(images, images + EPS * signs)) + 0.3


@pytest.mark.extended
@pytest.mark.parametrize("name", TRAIN_ATTACKS)
def test_every_attack_hardens_what_learns_from_it(learnt, name):
    images, labels = toy_images(64, seed=5)
    inputs, truth = torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels)

    def attacked_loss(model):
        loss = lambda x: cross_entropy(model(x), truth)
        return loss(perturb(inputs, loss, inputs.clone(), eps=EPS, stride=EPS / 4, steps=10)).item()

    hardened, epochs = ToyClassifier(dropout=0.0), 25 * (STEPS if name == "free" else 1)  # equally many updates
    fit(
        hardened,
        ToyBatches(*toy_images(32)),
        toy_images(16, seed=9),
        Recipe(**LONG | {"epochs": epochs}, train_attack=name),
        seed=0,
    )
    assert attacked_loss(hardened) < attacked_loss(learnt.eval()) - 0.08
