"""The loop with the project's own classifiers: their parts, their norms, their idea of freezing."""

import numpy as np
import pytest
import torch

from sweep.core.errors import Diverged
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, toy_images

QUICK = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "patience": 0}


def build(colorizer="deconv"):
    return build_classifier(
        ClassifierSpec(backbone="small_cnn", colorizer=colorizer, num_classes=2, image_px=32), seed=0
    )


def train(model, **settings):
    return fit(model, ToyBatches(*toy_images(16, px=32)), toy_images(8, px=32), Recipe(**QUICK | settings), seed=0)


@pytest.mark.parametrize("frozen_bn", ["eval", "train"])
def test_the_recipe_decides_about_frozen_norms(frozen_bn):
    model, start = build(), build().state_dict()
    train(model, procedure="colorizer_head", frozen_bn=frozen_bn)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    statistics = [name for name in moved if name.startswith("backbone") and "running_mean" in name]
    assert bool(statistics) == (frozen_bn == "train")
    assert not any(name.startswith("backbone") and name.endswith("weight") for name in moved)
    assert any(name.startswith("colorizer") for name in moved)


def test_a_fixed_colorizer_makes_two_steps_no_trouble():
    result = train(build("none"), procedure="two_step", glcm_weight=0.5)
    assert [metrics["phase"] for metrics in result.history] == [1, 2]


def test_texture_loss_meets_the_colours_that_colorize_makes():
    caught = {}
    model = build()

    def texture(colorized, grey):
        caught.setdefault("pair", (colorized.detach(), grey.detach()))
        return colorized.square().mean()

    fit(model, ToyBatches(*toy_images(16, px=32)), toy_images(8, px=32),
        Recipe(**QUICK | {"epochs": 1, "lr": 0.0, "precision": "fp32", "glcm_weight": 0.1}), seed=0, **fit_arguments(texture_loss=texture))  # fmt: skip
    colorized, grey = caught["pair"]
    fresh = build().train()
    assert torch.allclose(fresh.colorize(grey), colorized, atol=1e-4)


def test_attacked_norms_of_the_second_set():
    model, keys = build(), set(build().state_dict())
    train(model, train_eps=2 / 255, train_attack="fgsm", dual_bn=True)
    assert set(model.state_dict()) == keys


def test_an_absurd_learning_rate_is_reported_as_divergence():
    with pytest.raises(Diverged):
        train(
            build(), lr=100.0, optimizer="sgd", grad_clip=0.0, schedule="none", epochs=20, warmup=0.0, precision="fp32"
        )


@pytest.mark.slow
def test_a_compiled_step_trains_the_same_model():
    settings = {"epochs": 1, "augment": "none", "precision": "fp32", "compile": True}
    model, eager = build("none"), build("none")
    compiled = train(model, **settings)
    plain = train(eager, **settings | {"compile": False})
    assert compiled.history[0]["loss/train"] == pytest.approx(plain.history[0]["loss/train"], rel=1e-3)
    assert np.allclose(model.head[1].weight.detach(), eager.head[1].weight.detach(), atol=1e-3)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_step_multiplies_in_the_precision_asked_for_and_in_channels_last(precision, dtype):
    model, seen = build(), []
    conv = model.backbone.features[0][0]

    def look(module, _inputs, output):
        if model.training:
            seen.append((output.dtype, module.weight.is_contiguous(memory_format=torch.channels_last)))

    hook = conv.register_forward_hook(look)
    train(model, precision=precision, epochs=1)
    hook.remove()
    assert set(seen) == {(dtype, True)}
    assert conv.weight.is_contiguous() and conv.weight.dtype == torch.float32


@pytest.mark.parametrize(("clip", "bounded"), [(0.01, True), (0.0, False)])
def test_all_gradients_together_are_clipped(clip, bounded):
    model = build()
    train(model, grad_clip=clip, epochs=1, precision="fp32")
    norm = torch.stack([weight.grad.norm() for weight in model.parameters()]).norm()  # of the last step
    assert bool(norm <= 0.01 + 1e-6) == bounded
