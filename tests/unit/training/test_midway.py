"""A run stopped between two steps of an epoch goes on with the next step as if nothing had happened."""

import pytest
import torch

from sweep.training.fit import fit
from sweep.training.midway import Interrupted
from sweep.training.recipe import Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

QUICK = {"epochs": 3, "batch_size": 8, "lr": 3e-3, "augment": "flip", "patience": 0, "precision": "fp32"}
FREE = {"train_eps": 4 / 255, "train_attack": "free", "train_attack_steps": 2}


def run(recipe, model, **options):
    return fit(model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), recipe, seed=0, **fit_arguments(**options))


def after(steps):
    asked = iter(range(1, 1000))
    return lambda: next(asked) == steps


@pytest.mark.parametrize("steps", [1, 2, 4, 5])  # with four steps an epoch, or two in free training
@pytest.mark.parametrize(
    "changes",
    [{}, {"ema": 0.9, "mixup": 0.4}, {"procedure": "two_step"}, FREE],
    ids=lambda changes: "+".join(changes) or "plain",
)
def test_stopped_at_any_step_equals_undisturbed_bit_for_bit(changes, steps):
    recipe = Recipe(**QUICK | changes)
    whole_model = ToyClassifier()
    whole = run(recipe, whole_model)
    with pytest.raises(Interrupted) as stopped:
        run(recipe, ToyClassifier(), interrupted=after(steps))
    model = ToyClassifier(seed=77)
    resumed = run(recipe, model, state=stopped.value.state)
    assert resumed.history == whole.history and resumed.images_seen == whole.images_seen
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole_model.state_dict().items())


def test_stopped_twice_in_one_epoch():
    recipe, whole_model, model = Recipe(**QUICK), ToyClassifier(), ToyClassifier()
    whole = run(recipe, whole_model)
    with pytest.raises(Interrupted) as first:
        run(recipe, ToyClassifier(), interrupted=after(5))
    with pytest.raises(Interrupted) as second:
        run(recipe, ToyClassifier(seed=3), state=first.value.state, interrupted=after(2))
    assert run(recipe, model, state=second.value.state).history == whole.history
