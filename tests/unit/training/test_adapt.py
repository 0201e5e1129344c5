"""Source-free baselines: batch norm measured anew, and grey levels of the other domain."""

import numpy as np
import pytest
import torch
from skimage.exposure import match_histograms

from sweep.core.errors import InputError
from sweep.training.adapt import (
    adapt_batch_norm,
    adapt_entropy,
    grey_histogram,
    has_norms,
    match_histogram,
    mix_batch_norm,
)
from tests.fakes.toy_classifier import ToyClassifier, toy_images


def test_adabn_measures_the_target_and_leaves_the_source_model_alone():
    model = ToyClassifier(dropout=0.0).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = (toy_images(30)[0] // 2).astype(np.uint8)
    adapted = adapt_batch_norm(model, images, batch_size=10)
    inputs = torch.from_numpy(images).unsqueeze(1).float() / 255
    seen = model.backbone[0](model.colorizer(inputs))
    assert torch.allclose(adapted.backbone[1].running_mean, seen.mean((0, 2, 3)), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in adapted.modules())
    assert adapted.backbone[1].momentum == model.backbone[1].momentum


def test_mixed_statistics_lie_between_source_and_target():
    model = ToyClassifier(dropout=0.0).eval()
    model.backbone[1].running_mean.fill_(2.0)
    model.backbone[1].running_var.fill_(3.0)
    images = toy_images(30)[0]
    target = adapt_batch_norm(model, images).backbone[1]
    mixed = mix_batch_norm(model, images, 0.25).backbone[1]
    assert torch.allclose(mixed.running_mean, 0.25 * 2.0 + 0.75 * target.running_mean)
    assert torch.allclose(mixed.running_var, 0.25 * 3.0 + 0.75 * target.running_var)
    assert torch.equal(mix_batch_norm(model, images, 1.0).backbone[1].running_mean, model.backbone[1].running_mean)


def test_histogram_matching_equals_scikit_image():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 120, (3, 24, 24), dtype=np.uint8)
    template = rng.integers(60, 256, (24, 24), dtype=np.uint8)
    matched = match_histogram(images, grey_histogram(template, keep_black=False), keep_black=False)
    for image, result in zip(images, matched, strict=True):
        assert np.abs(match_histograms(image, template) - result).max() <= 1


def test_black_borders_stay_black_and_do_not_count():
    rng = np.random.default_rng(1)
    image = rng.integers(1, 100, (1, 20, 20), dtype=np.uint8)
    bordered = np.pad(image, ((0, 0), (10, 10), (0, 0)))
    reference = grey_histogram(rng.integers(100, 200, (20, 20), dtype=np.uint8))
    matched = match_histogram(bordered, reference)
    assert (matched[:, :10] == 0).all()
    np.testing.assert_array_equal(matched[:, 10:30], match_histogram(image, reference))


@pytest.mark.parametrize("image", [np.zeros((1, 4, 4), np.uint8), np.full((1, 4, 4), 7, np.uint8)])
def test_constant_images_are_no_trouble(image):
    reference = grey_histogram(np.arange(256, dtype=np.uint8))
    assert match_histogram(image, reference).shape == image.shape


def confident_model():
    """A toy classifier in eval mode whose batch norm has seen its images."""
    torch.manual_seed(0)
    return ToyClassifier(dropout=0.0).eval()


def entropy_of(model, images):
    with torch.no_grad():
        p = model(torch.from_numpy(images).unsqueeze(1).float() / 255).softmax(1)
    return float(-(p * p.log()).sum(1).mean()), p.mean(0).numpy()


def test_entropy_steps_lower_the_entropy_and_leave_the_model_alone():
    model, images = confident_model(), toy_images(40)[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = adapt_entropy(model, images, np.array([0.5, 0.5]), steps=5, batch_size=20)
    assert found.steps == 5 and found.stopped is None
    assert entropy_of(found.model, images)[0] < entropy_of(adapt_batch_norm(model, images), images)[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in found.model.modules())


def test_a_step_that_would_make_a_class_vanish_is_undone():
    model, images = confident_model(), toy_images(40)[0]
    free = adapt_entropy(model, images, np.array([0.0, 0.0]), steps=60, lr=0.3, batch_size=40)
    guarded = adapt_entropy(model, images, np.array([0.5, 0.5]), steps=60, lr=0.3, batch_size=40)
    start = entropy_of(adapt_batch_norm(model, images), images)[1]
    assert entropy_of(free.model, images)[1].min() < start.min() / 3  # what entropy alone does
    assert guarded.steps < 60 and guarded.stopped.startswith(f"step {guarded.steps + 1} ")
    assert (entropy_of(guarded.model, images)[1] >= np.minimum(start, 0.5) / 3 - 1e-6).all()


def test_a_model_without_norms_takes_no_entropy_step():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)).eval()
    found = adapt_entropy(model, np.zeros((3, 8, 8), np.uint8), np.array([0.5, 0.5]))
    assert found.steps == 0 and "no norm" in found.stopped and not has_norms(model)


@pytest.mark.parametrize(
    "images",
    [np.zeros((3, 8, 8), np.float32), np.zeros((3, 1, 8, 8), np.uint8), torch.zeros(3, 8, 8, dtype=torch.uint8)],
)
def test_images_that_are_no_grey_levels_are_refused(images):
    """Floats in [0, 1] would be adapted to as if they were black."""
    model, reference = ToyClassifier(dropout=0.0).eval(), np.full(256, 1 / 256)
    for call in (
        lambda: adapt_batch_norm(model, images),
        lambda: mix_batch_norm(model, images, 0.5),
        lambda: adapt_entropy(model, images, np.array([0.5, 0.5])),
        lambda: match_histogram(images, reference),
    ):
        with pytest.raises(InputError, match="give grey levels"):
            call()


def test_no_image_to_adapt_to_is_refused():
    with pytest.raises(InputError, match="0 images; give at least 1"):
        adapt_batch_norm(ToyClassifier(dropout=0.0), np.zeros((0, 8, 8), np.uint8))
