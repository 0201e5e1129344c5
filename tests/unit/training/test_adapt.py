"""Source-free baselines: batch norm measured anew, and grey levels of the other domain."""

import numpy as np
import pytest
import torch
from skimage.exposure import match_histograms

from sweep.training.adapt import adapt_batch_norm, grey_histogram, match_histogram, mix_batch_norm
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
