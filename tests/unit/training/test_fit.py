"""The loop learns, stops, resumes bit for bit and says so when it diverges."""

import numpy as np
import pytest
import torch

from sweep.core.errors import Diverged, InputError
from sweep.evaluation.evaluate import predict
from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

QUICK = {"epochs": 4, "batch_size": 8, "lr": 3e-3, "augment": "flip", "patience": 0, "precision": "fp32"}


def run(recipe=None, model=None, seed=0, **options):
    model = model or ToyClassifier()
    result = fit(
        model,
        ToyBatches(*toy_images(32)),
        toy_images(16, seed=9),
        recipe or Recipe(**QUICK),
        seed=seed,
        **fit_arguments(**options),
    )
    return model, result


def weights_equal(first, second):
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_it_learns_and_reports_each_epoch():
    seen = []
    recipe = Recipe(**QUICK | {"epochs": 12, "augment": "none"})
    model, result = run(recipe, on_epoch=seen.append)
    assert seen == result.history and [m["epoch"] for m in seen] == list(range(1, 13))
    assert {"loss/train", "auroc/source_val", "accuracy/source_val", "lr"} <= seen[0].keys()
    assert max(m["auroc/source_val"] for m in seen) > 0.95
    assert seen[-1]["loss/train"] < seen[0]["loss/train"]
    assert result.images_seen == 12 * 32 and not model.training


def test_the_model_keeps_the_weights_of_its_best_epoch():
    model, result = run()
    logits = predict(model, toy_images(16, seed=9)[0])
    best = result.history[result.best_epoch - 1]
    assert np.mean(logits.argmax(1) == toy_images(16)[1]) == best["accuracy/source_val"]


def test_same_seed_same_weights_other_seed_others():
    first, second, third = run()[0], run()[0], run(seed=1)[0]
    assert weights_equal(first, second) and not weights_equal(first, third)


def test_the_global_random_stream_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema": 0.9, "mixup": 0.4},
        {"procedure": "two_step"},
        {"optimizer": "sgd", "schedule": "one_cycle"},
        {"precision": "bf16"},
    ],
    ids=lambda changes: "+".join(changes) or "plain",
)
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(changes, stop_after):
    recipe = Recipe(**QUICK | changes)
    states = []
    whole_model, whole = run(recipe, save_state=states.append)
    resumed_model, resumed = run(recipe, model=ToyClassifier(seed=77), state=states[stop_after - 1])
    assert resumed.history == whole.history and resumed.best_epoch == whole.best_epoch
    assert weights_equal(whole_model, resumed_model)
    assert resumed.images_seen == whole.images_seen


def test_a_finished_state_trains_no_further():
    states = []
    model, result = run(save_state=states.append)
    again, repeated = run(
        model=ToyClassifier(seed=3), state=states[-1], on_epoch=lambda metrics: pytest.fail("trained")
    )
    assert weights_equal(model, again) and repeated.epochs_run == result.epochs_run


def test_a_state_of_another_recipe_or_damaged_bytes_are_refused():
    states = []
    run(save_state=states.append)
    with pytest.raises(InputError, match="another recipe"):
        run(Recipe(**QUICK | {"lr": 1e-5}), state=states[0])
    with pytest.raises(InputError, match="cannot be read"):
        run(state=states[0][:100])


def test_patience_ends_a_run_that_gets_no_better():
    recipe = Recipe(**QUICK | {"lr": 0.0, "epochs": 20, "patience": 3, "frozen_bn": "eval", "procedure": "head_only"})
    _, result = run(recipe)
    assert result.epochs_run == 4 and result.best_epoch == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_its_step(value):
    calls = []

    def texture(colorized, grey):
        calls.append(1)
        return colorized.mean() * (value if len(calls) == 6 else 0.0)

    with pytest.raises(Diverged) as stop:
        run(Recipe(**QUICK | {"glcm_weight": 0.5}), texture_loss=texture)
    assert (stop.value.stage, stop.value.step) == ("train", 6)


def test_texture_loss_sees_colours_and_greys_and_only_with_a_learned_colorizer():
    shapes = []

    def texture(colorized, grey):
        shapes.append((tuple(colorized.shape), tuple(grey.shape)))
        return (colorized.mean(1, keepdim=True) - grey).abs().mean()

    recipe = Recipe(**QUICK | {"glcm_weight": 0.3, "epochs": 1})
    model, _ = run(recipe, texture_loss=texture)
    assert shapes[0] == ((8, 3, 16, 16), (8, 1, 16, 16)) and len(shapes) == 4
    assert not model.colorizer._forward_hooks
    run(recipe, model=ToyClassifier(learned=False), texture_loss=texture)
    run(Recipe(**QUICK | {"epochs": 1}), texture_loss=texture)
    assert len(shapes) == 4


def test_glcm_weight_mixes_the_two_losses():
    constant = {"glcm_weight": 0.25, "epochs": 1, "lr": 0.0}
    _, plain = run(Recipe(**QUICK | constant | {"glcm_weight": 0.0}))
    _, mixed = run(Recipe(**QUICK | constant), texture_loss=lambda colorized, grey: colorized.sum() * 0 + 2.0)
    assert mixed.history[0]["loss/train"] == pytest.approx(0.75 * plain.history[0]["loss/train"] + 0.25 * 2, rel=1e-5)


def test_several_labels_per_image_with_unknown_ones():
    images, labels = toy_images(32)
    several = np.stack([labels, 1 - labels, labels], 1).astype(np.float32)
    several[::5, 1] = np.nan
    model = ToyClassifier(classes=3)
    recipe = Recipe(**QUICK | {"epochs": 8, "class_weighting": "balanced", "augment": "none"})
    result = fit(
        model, ToyBatches(images, several), (images, several), recipe, seed=0, **fit_arguments(train_labels=several)
    )
    assert result.history[-1]["auroc/source_val"] > 0.9


def test_nothing_to_train_on_is_the_users_mistake():
    with pytest.raises(InputError, match="smaller batch_size"):
        fit(ToyClassifier(), ToyBatches(*toy_images(4)), toy_images(4), Recipe(**QUICK), seed=0)
