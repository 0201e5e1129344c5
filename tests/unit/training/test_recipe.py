"""A recipe out of a configuration, and what it refuses."""

import dataclasses

import pytest

from sweep.core.errors import InputError
from sweep.training.procedures import phases
from sweep.training.recipe import Recipe


def test_foreign_keys_are_left_alone():
    recipe = Recipe.from_config({"lr": 0.5, "backbone": "resnet18", "synthetic_per_real": 0.25})
    assert recipe == Recipe(lr=0.5)


def test_every_setting_is_a_plain_scalar_with_a_default():
    for field in dataclasses.fields(Recipe):
        assert isinstance(field.default, (str, int, float, bool)), field.name


def test_all_mistakes_come_in_one_message():
    with pytest.raises(InputError) as refused:
        Recipe(optimizer="adamm", lr=-1, epochs=0, schedule="cosine")
    message = str(refused.value)
    assert "3 mistakes" in message and "did you mean adam" in message
    assert "recipe.lr: -1 is out of range" in message and "recipe.epochs" in message


def test_dual_norms_and_trades_do_not_go_together():
    with pytest.raises(InputError, match="dual_bn"):
        Recipe(dual_bn=True, train_attack="trades")


def test_two_step_trains_the_backbone_last_and_slower():
    first, second = phases(Recipe(procedure="two_step", epochs=20, lr=1e-4))
    assert first.parts == ("colorizer", "head") and second.parts == ("colorizer", "backbone", "head")
    assert first.lr["head"] == pytest.approx(1e-3)
    assert second.lr == pytest.approx({"colorizer": 3e-4, "backbone": 1e-4, "head": 1e-4})


def test_deco_freezes_the_colorizer_in_its_second_step():
    assert [phase.parts for phase in phases(Recipe(procedure="deco"))] == [("colorizer", "head"), ("backbone", "head")]
