"""Learning rates of parts and over time."""

import math

import pytest

from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.training.dual_norms import DualNorms
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


def test_layer_decay_by_hand():
    """small_cnn has 7 layers under the head: the stem's rate is lr times decay to the 7th, the top layer's lr times decay."""
    model = build_classifier(ClassifierSpec(backbone="small_cnn", num_classes=2, image_px=32), seed=0)
    recipe = Recipe(lr=1e-3, layer_decay=0.5, head_lr_factor=2, dual_bn=True, train_eps=0.1)
    optimizer = build_optimizer(model, phases(recipe)[0], recipe, DualNorms(model))
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    names = [name for name, _ in model.backbone.named_parameters()]
    blocks = sorted({int(name.split(".")[1]) for name in names})
    for name, weight in model.backbone.named_parameters():
        assert rates[id(weight)] == pytest.approx(1e-3 * 0.5 ** (len(blocks) - int(name.split(".")[1])))
    assert rates[id(model.head[1].weight)] == pytest.approx(2e-3)
    norms = DualNorms(model).named_parameters(["backbone"])
    assert len(rates) == len(list(model.parameters())) + len(norms)
    plain = build_optimizer(model, phases(Recipe())[0], Recipe())
    assert len(plain.param_groups) == 4  # backbone and head, decayed or not


def test_linear_probing_comes_before_fine_tuning():
    first, second = phases(Recipe(procedure="lp_ft", epochs=10, step1_share=0.3, lr=1e-4, step1_lr_factor=30))
    assert (first.parts, first.epochs, second.epochs) == (("head",), 3, 7)
    assert first.lr["head"] == pytest.approx(3e-3) and second.lr["backbone"] == pytest.approx(1e-4)
