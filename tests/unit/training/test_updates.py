"""What counts as an update: averaged weights, the step of a divergence, the change of phase, the compiled step."""

import functools
import io

import pytest
import torch

from sweep.core.errors import Diverged
from sweep.training import fit as fitting
from sweep.training.ema import AveragedWeights
from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

QUICK = {"epochs": 2, "batch_size": 8, "lr": 3e-3, "augment": "none", "patience": 0, "precision": "fp32"}
FREE = {"train_eps": 0.05, "train_attack": "free", "train_attack_steps": 2}


def train(model, recipe, **options):
    return fit(model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), recipe, seed=0, **fit_arguments(**options))


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_average_by_hand():
    model = torch.nn.BatchNorm1d(1)
    average = AveragedWeights(model, 0.2)
    expected, values = 1.0, [3.0, -1.0, 5.0, 2.0]
    for step, value in enumerate(values):
        torch.nn.init.constant_(model.weight, value)
        model.num_batches_tracked += 7
        average.update(model)
        decay = min(0.2, (1 + step) / (10 + step))  # 0.1, 2/11, then 0.2
        expected = decay * expected + (1 - decay) * value
    assert average.shadow["weight"].item() == pytest.approx(expected) and average.steps == 4
    assert average.shadow["num_batches_tracked"] == 28  # a counter is copied, not averaged
    with average.swapped_in(model):
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 2.0


@pytest.mark.parametrize(("changes", "updates"), [({}, 8), (FREE, 8)], ids=["plain", "free"])
def test_every_update_moves_the_average_and_counts_as_a_step(changes, updates):
    states = []
    train(ToyClassifier(), Recipe(**QUICK | changes, ema=0.9), save_state=states.append)
    content = torch.load(io.BytesIO(states[-1]), weights_only=True)
    assert content["extras"]["average"]["steps"] == content["progress"]["steps"] == updates
    assert {int(state["step"]) for state in content["optimizer"]["state"].values()} == {updates}


def test_validation_and_the_kept_weights_are_the_averaged_ones():
    states, model = [], ToyClassifier()
    train(model, Recipe(**QUICK | {"epochs": 1}, ema=0.9), save_state=states.append)
    content = torch.load(io.BytesIO(states[-1]), weights_only=True)
    assert equal(weights_of(model), content["extras"]["average"]["shadow"]) and not equal(
        weights_of(model), content["model"]
    )


@pytest.mark.parametrize(("changes", "call"), [({}, 6), (FREE, 5), (FREE, 4)], ids=str)
def test_a_divergence_names_the_optimiser_step(changes, call):
    calls = []

    def texture(colorized, grey):
        calls.append(1)
        return colorized.mean() * (float("nan") if len(calls) == call else 0.0)

    with pytest.raises(Diverged) as stop:
        train(ToyClassifier(), Recipe(**QUICK | changes, glcm_weight=0.5), texture_loss=texture)
    assert (stop.value.stage, stop.value.step) == ("train", call)


def scripted(scores):
    """A `reduce` that tells the loop how good each epoch was."""
    waiting = iter(scores)
    return lambda metrics: dict(metrics) | {"auroc/source_val": next(waiting), "loss/source_val": 1.0}


def test_the_second_step_starts_from_the_best_weights_of_the_first_and_looks_for_its_own():
    model, after, starts = ToyClassifier(), [], []
    model.register_forward_pre_hook(
        lambda module, _inputs: starts.append((len(after), weights_of(module))) if module.training else None
    )
    recipe = Recipe(**QUICK | {"epochs": 6, "procedure": "two_step"})
    result = train(
        model,
        recipe,
        reduce=scripted([0.7, 0.9, 0.6, 0.5, 0.8, 0.4]),
        on_epoch=lambda metrics: after.append(weights_of(model)),
    )
    second = next(weights for epoch, weights in starts if epoch == 3)
    assert equal(second, after[1]) and not equal(second, after[2])
    assert result.best_epoch == 5 and equal(weights_of(model), after[4])  # although 0.9 was seen before


def test_each_step_of_a_procedure_has_its_own_patience():
    recipe = Recipe(**QUICK | {"epochs": 20, "procedure": "two_step", "patience": 2})
    result = train(ToyClassifier(), recipe, reduce=scripted([0.9, 0.5, 0.5, 0.3, 0.4, 0.1, 0.1]))
    assert [epoch["phase"] for epoch in result.history] == [1, 1, 1, 2, 2, 2, 2] and result.best_epoch == 5


def test_a_compiled_step_has_the_losses_of_a_plain_one(monkeypatch):
    """With Dynamo's own graph and no code generator, which is what takes minutes."""
    compiled, original = [], torch.compile
    monkeypatch.setattr(
        fitting.torch,
        "compile",
        lambda forward: compiled.append(1) or functools.partial(original, backend="eager")(forward),
    )
    plain = train(ToyClassifier(), Recipe(**QUICK))
    assert not compiled
    traced = train(ToyClassifier(), Recipe(**QUICK, compile=True))
    assert compiled and [epoch["loss/train"] for epoch in traced.history] == pytest.approx(
        [epoch["loss/train"] for epoch in plain.history], rel=1e-5
    )
