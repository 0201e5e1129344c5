"""Every row of the training tables keeps its promises."""

import numpy as np
import pytest
import torch

from sweep.training import adversarial
from sweep.training.adversarial import TRAIN_ATTACKS
from sweep.training.augment import AUGMENTATIONS, augment
from sweep.training.fit import fit
from sweep.training.optimizer import OPTIMIZERS, SCHEDULES, build_optimizer
from sweep.training.parts import PARTS
from sweep.training.procedures import PROCEDURES, phases
from sweep.training.recipe import FEATURE_HEADS, Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

EPS = 0.1
ATTACKED = {
    "epochs": 3, "batch_size": 8, "lr": 1e-2, "augment": "none", "patience": 0, "precision": "fp32",
    "train_eps": EPS, "train_attack_steps": 3,
}  # fmt: skip


def train(recipe, **options):
    model = ToyClassifier(dropout=0.0)
    return model, fit(
        model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), recipe, seed=0, **fit_arguments(**options)
    )


def test_a_recipe_may_name_every_row():
    for table, setting in ((TRAIN_ATTACKS, "train_attack"), (AUGMENTATIONS, "augment"), (OPTIMIZERS, "optimizer"),
                           (SCHEDULES, "schedule"), (PROCEDURES, "procedure")):  # fmt: skip
        for name in table:
            assert getattr(Recipe(**{setting: name}), setting) == name


@pytest.mark.parametrize("name", AUGMENTATIONS)
class TestEveryAugmentation:
    def test_range_and_shape_stay(self, name):
        images = torch.rand(6, 1, 20, 30)
        changed = augment(images.clone(), AUGMENTATIONS[name], drawn())
        assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1

    def test_same_seed_same_images(self, name):
        images = torch.rand(4, 1, 16, 16)
        first, second = (augment(images.clone(), AUGMENTATIONS[name], drawn(3)) for _ in range(2))
        assert torch.equal(first, second)

    def test_top_stays_on_top(self, name):
        images = torch.zeros(64, 1, 32, 32)
        images[:, :, :8] = 1
        changed = augment(images, AUGMENTATIONS[name], drawn())
        assert (changed[:, :, :16].sum((1, 2, 3)) > changed[:, :, 16:].sum((1, 2, 3))).all()

    def test_black_stays_black(self, name):
        assert augment(torch.zeros(8, 1, 16, 16), AUGMENTATIONS[name], drawn()).max() == 0


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", TRAIN_ATTACKS)
class TestEveryTrainAttack:
    def test_it_trains_within_the_budget(self, name, monkeypatch):
        seen = []
        original = adversarial.Step.loss

        def spy(step, inputs, logit_loss):
            seen.append(inputs.detach())
            return original(step, inputs, logit_loss)

        monkeypatch.setattr(adversarial.Step, "loss", spy)
        model, result = train(Recipe(**ATTACKED, train_attack=name))
        clean = torch.from_numpy(toy_images(32)[0]).flatten(1) / 255
        reach = 3 * EPS if name == "fgsm" else EPS  # N-FGSM: noise of twice the budget, then a step of one
        for batch in seen:
            nearest = torch.cdist(batch.flatten(1), clean, p=float("inf")).amin(1)
            assert batch.min() >= 0 and batch.max() <= 1 and nearest.max() <= reach + 1e-6
        assert torch.cdist(seen[-1].flatten(1), clean, p=float("inf")).amin(1).max() > EPS / 2
        assert np.isfinite(result.history[-1]["loss/train"])
        assert all(weight.requires_grad for weight in model.parameters())

    def test_a_resumed_run_equals_an_undisturbed_one(self, name):
        states, recipe = [], Recipe(**ATTACKED, train_attack=name)
        whole_model, whole = train(recipe, save_state=states.append)
        resumed_model, resumed = train(recipe, state=states[0])
        assert resumed.history == whole.history
        for name, value in whole_model.state_dict().items():
            assert torch.equal(value, resumed_model.state_dict()[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_fused_and_lowers_a_quadratic(name):
    model, recipe = ToyClassifier(), Recipe(optimizer=name, lr=1e-2)
    optimizer = build_optimizer(model, phases(recipe)[0], recipe)
    assert optimizer.defaults["fused"]
    size = lambda: sum(weight.square().sum() for weight in model.parameters())
    before = size().item()
    for _ in range(5):
        optimizer.zero_grad()
        size().backward()
        optimizer.step()
    assert size().item() < before


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_within_the_peak_and_reaches_it(name):
    factors = [SCHEDULES[name](step / 100, 0.05) for step in range(101)]
    assert min(factors) >= 0 and max(factors) == pytest.approx(1.0)


@pytest.mark.parametrize("name", PROCEDURES)
@pytest.mark.parametrize("epochs", [1, 2, 7, 20])
def test_the_steps_of_every_procedure_share_its_epochs(name, epochs):
    steps = phases(Recipe(procedure=name, epochs=epochs))
    assert sum(phase.epochs for phase in steps) == (1 if name in FEATURE_HEADS else epochs)
    assert all(phase.epochs > 0 for phase in steps)
    assert all(set(phase.parts) <= set(PARTS) and "head" in phase.parts for phase in steps)


@pytest.mark.parametrize("name", sorted({*PROCEDURES} - {*FEATURE_HEADS}))
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_pretraining_takes_its_share_of_the_epochs_of_every_procedure(name, share):
    recipe = Recipe(procedure=name, epochs=20)
    steps = phases(recipe, share)
    assert sum(phase.epochs for phase in steps) == 20
    assert sum(phase.epochs for phase in steps if phase.pretraining) == 20 * share
    assert [phase.pretraining for phase in steps] == sorted((phase.pretraining for phase in steps), reverse=True)
    assert [phase.number for phase in steps] == [*range(1, len(steps) + 1)]
    of_one_run = [phase.lr for phase in phases(recipe)]
    assert [phase.lr for phase in steps] == of_one_run * 2
