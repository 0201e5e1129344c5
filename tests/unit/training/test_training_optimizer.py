"""Learning rates of parts and over time."""

import math

import pytest
import torch

from sweep.training.optimizer import OPTIMIZERS, SCHEDULES, build_optimizer, set_lr
from sweep.training.procedures import phases
from sweep.training.recipe import Recipe
from tests.fakes.toy_classifier import ToyClassifier


def optimizer_of(**settings):
    recipe = Recipe(**settings)
    return build_optimizer(ToyClassifier(), phases(recipe)[-1], recipe), recipe


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_a_quadratic(name):
    model, recipe = ToyClassifier(), Recipe(optimizer=name, lr=1e-2)
    optimizer = build_optimizer(model, phases(recipe)[0], recipe)
    size = lambda: sum(weight.square().sum() for weight in model.parameters())  # noqa: E731
    before = size().item()
    for _ in range(5):
        optimizer.zero_grad()
        size().backward()
        optimizer.step()
    assert size().item() < before


def test_all_weights_are_in_one_group_and_scales_are_not_decayed():
    optimizer, _ = optimizer_of(weight_decay=0.1)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert len(weights) == len({id(w) for w in weights}) == len(list(ToyClassifier().parameters()))
    for group in optimizer.param_groups:
        assert all((weight.ndim > 1) == (group["weight_decay"] > 0) for weight in group["params"])


def test_parts_have_their_own_learning_rates():
    optimizer, recipe = optimizer_of(lr=1e-3, head_lr_factor=5, schedule="none")
    set_lr(optimizer, recipe, 0.5)
    assert {group["part"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"colorizer": 3e-3, "backbone": 1e-3, "head": 5e-3}
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_within_the_peak_and_reaches_it(name):
    factors = [SCHEDULES[name](step / 100, 0.05) for step in range(101)]
    assert 0 <= min(factors) and max(factors) == pytest.approx(1.0)


def test_shapes_of_the_schedules():
    assert SCHEDULES["cosine"](0.0, 0.1) == pytest.approx(1e-3)
    assert SCHEDULES["cosine"](0.05, 0.1) == pytest.approx(0.5)
    assert SCHEDULES["cosine"](0.55, 0.1) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert SCHEDULES["one_cycle"](0.0, 0) == pytest.approx(1 / 25)
    assert SCHEDULES["one_cycle"](0.3, 0) == pytest.approx(1.0)
    assert SCHEDULES["one_cycle"](1.0, 0) == pytest.approx(1e-5)


def test_fused_kernels_are_used():
    for name in OPTIMIZERS:
        optimizer, _ = optimizer_of(optimizer=name)
        assert isinstance(optimizer, torch.optim.Optimizer) and optimizer.defaults["fused"]
