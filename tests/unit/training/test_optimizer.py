"""Learning rates of parts and over time."""

import math

import pytest

from sweep.training.optimizer import SCHEDULES, build_optimizer, set_lr
from sweep.training.procedures import phases
from sweep.training.recipe import Recipe
from tests.fakes.toy_classifier import ToyClassifier


def optimizer_of(**settings):
    recipe = Recipe(**settings)
    return build_optimizer(ToyClassifier(), phases(recipe)[-1], recipe), recipe


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


def test_shapes_of_the_schedules():
    assert SCHEDULES["cosine"](0.0, 0.1) == pytest.approx(1e-3)
    assert SCHEDULES["cosine"](0.05, 0.1) == pytest.approx(0.5)
    assert SCHEDULES["cosine"](0.55, 0.1) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert SCHEDULES["one_cycle"](0.0, 0) == pytest.approx(1 / 25)
    assert SCHEDULES["one_cycle"](0.3, 0) == pytest.approx(1.0)
    assert SCHEDULES["one_cycle"](1.0, 0) == pytest.approx(1e-5)
