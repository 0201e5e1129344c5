"""KID, Frechet distance and coverage against closed forms, hand-made sets and repeated draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from sweep.core.errors import InputError
from sweep.core.ranks import auroc
from sweep.core.seeds import rng
from sweep.synth.descriptors import FEATURE_NETS, feature_net, network_features
from sweep.synth.quality import (
    frechet,
    kid,
    precision_recall_coverage,
    quality,
    ridge,
    train_on_synthetic_test_on_real,
)


def gaussian(draw: np.random.Generator, count: int, shift: float = 0.0, size: int = 5) -> np.ndarray:
    return draw.standard_normal((count, size)) + shift


def slow_kid(real: np.ndarray, synthetic: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(real), len(synthetic)
    within_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within = sum(kernel(synthetic[i], synthetic[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    between = sum(kernel(a, b) for a in real for b in synthetic) / (n * m)
    return within_real + within - 2 * between


def test_kid_equals_its_definition() -> None:
    draw = rng(0, "kid")
    real, synthetic = gaussian(draw, 7), gaussian(draw, 5, 0.3)
    assert kid(real, synthetic).value == pytest.approx(slow_kid(real, synthetic))


def test_kid_interval_is_the_delete_one_jackknife() -> None:
    draw = rng(1, "kid")
    real, synthetic = gaussian(draw, 8), gaussian(draw, 6, 0.5)
    without_real = [kid(np.delete(real, i, 0), synthetic).value for i in range(8)]
    without_synthetic = [kid(real, np.delete(synthetic, i, 0)).value for i in range(6)]
    error = np.sqrt(7 * np.var(without_real) + 5 * np.var(without_synthetic))
    estimate = kid(real, synthetic)
    assert estimate.high - estimate.value == pytest.approx(1.959964 * error)
    assert estimate.value - estimate.low == pytest.approx(1.959964 * error)


def test_kid_is_unbiased_at_small_n_and_its_interval_covers() -> None:
    draw = rng(2, "kid")
    same = [kid(gaussian(draw, 15), gaussian(draw, 20)) for _ in range(300)]
    values = np.array([estimate.value for estimate in same])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    truth = kid(gaussian(draw, 3000), gaussian(draw, 3000, 0.5)).value
    shifted = [kid(gaussian(draw, 60), gaussian(draw, 60, 0.5)) for _ in range(200)]
    assert 0.88 <= np.mean([estimate.low <= truth <= estimate.high for estimate in shifted]) <= 1


def test_too_few_images_are_refused_with_the_number_that_is_enough():
    features = np.random.default_rng(0).normal(size=(6, 4))
    with pytest.raises(InputError, match="KID: 6 real and 2 synthetic images; give at least 3"):
        kid(features, features[:2])
    for figure in (frechet, precision_recall_coverage):
        with pytest.raises(InputError, match="1 real and 6 synthetic images; give at least 2"):
            figure(features[:1], features)
        with pytest.raises(InputError, match="give at least 2"):
            figure(features, features[:1])
    assert np.isfinite(frechet(features[:2], features[2:4]))


@pytest.mark.parametrize("size", [4, 30])
def test_frechet_equals_the_matrix_root_also_when_rank_deficient(size: int) -> None:
    draw = rng(3, "frechet")
    real, synthetic = gaussian(draw, 20, size=size), gaussian(draw, 12, 0.2, size=size) * 1.5
    root = sqrtm(np.cov(real.T) @ np.cov(synthetic.T)).real
    gap = np.square(real.mean(0) - synthetic.mean(0)).sum()
    expected = gap + np.trace(np.cov(real.T) + np.cov(synthetic.T) - 2 * root)
    assert frechet(real, synthetic) == pytest.approx(expected, rel=1e-4)
    assert frechet(real, real) == pytest.approx(0, abs=1e-9)


def test_precision_recall_coverage_tell_the_failures_apart() -> None:
    draw = rng(4, "prdc")
    real = np.concatenate([gaussian(draw, 100), gaussian(draw, 100, 20)])
    good = np.concatenate([gaussian(draw, 100), gaussian(draw, 100, 20)])
    one_mode, outside = gaussian(draw, 200), gaussian(draw, 200, 100)
    assert min(precision_recall_coverage(real, good).values()) > 0.85
    missed = precision_recall_coverage(real, one_mode)
    assert missed["precision"] > 0.85
    assert missed["recall"] < 0.55 and missed["coverage"] < 0.55
    assert set(precision_recall_coverage(real, outside).values()) == {0.0}


@pytest.mark.parametrize("name", FEATURE_NETS)
def test_every_feature_net_sees_a_changed_texture(name: str) -> None:
    draw = rng(5, "features")
    noise = draw.integers(0, 256, (40, 32, 32), dtype=np.uint8)
    smooth = noise[:20].reshape(20, 16, 2, 16, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2).astype(np.uint8)
    assert kid(*feature_net(name).embed(noise[:20], noise[20:])).low < 0.3
    assert kid(*feature_net(name).embed(noise[:20], smooth)).low > 0.3


def test_figures_carry_the_feature_net_in_their_name() -> None:
    images = rng(6, "names").integers(0, 256, (12, 32, 32), dtype=np.uint8)
    assert {name.split("/")[1] for name in quality(images[:6], images[6:], "layout")} == {"layout"}


def test_a_trained_network_becomes_a_feature_net() -> None:
    images = rng(7, "network").integers(0, 256, (70, 32, 32), dtype=np.uint8)
    net = network_features("pooled", torch.nn.AvgPool2d(16))
    assert net.name == "pooled"
    expected = images.reshape(70, 2, 16, 2, 16).mean((2, 4)).reshape(70, 4) / 255
    assert np.allclose(net.embed(images)[0], expected, atol=1e-6)


def test_unknown_feature_net_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean texture"):
        feature_net("textur")


def test_training_on_good_and_on_useless_synthetic_images() -> None:
    draw = rng(8, "tstr")

    def labelled(count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        return gaussian(draw, count) + shift * labels[:, None], labels

    real, test = labelled(200, 1.0), labelled(200, 1.0)
    good = train_on_synthetic_test_on_real(labelled(200, 1.0), real, test, ridge)
    useless = train_on_synthetic_test_on_real(labelled(200, 0.0), real, test, ridge)
    assert good["auroc_trained_on_synthetic"] > 0.9
    assert useless["auroc_trained_on_synthetic"] < 0.9 < useless["auroc_trained_on_real"]


def test_auroc_counts_ties_as_half() -> None:
    assert auroc(np.array([0.0, 1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])) == pytest.approx(0.875)
    assert np.isnan(auroc(np.array([1.0, 2.0]), np.array([1, 1])))


@pytest.mark.parametrize("net", FEATURE_NETS)
def test_images_that_are_not_8_bit_are_refused(net: str) -> None:
    """Floats in [0, 1] beside bytes would be told apart by their range alone."""
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    for other in (images / 255, images > 127, images[:, None], torch.from_numpy(images), images[:0]):
        for pair in ((images, other), (other, images)):
            with pytest.raises(InputError, match="give grey levels from 0 to 255|give at least 1"):
                quality(*pair, net)  # type: ignore[arg-type]


@pytest.mark.parametrize("figure", [kid, frechet, precision_recall_coverage])
def test_features_without_a_distance_are_refused(figure: Callable[[np.ndarray, np.ndarray], object]) -> None:
    features = np.random.default_rng(0).standard_normal((5, 3))
    for other, words in (
        (features[:, :2], "of one feature net"),
        (features[:, 0], "of one"),
        (features * np.nan, "NaN"),
    ):
        with pytest.raises(InputError, match=words):
            figure(features, other)


def test_a_classifier_needs_both_classes() -> None:
    features = np.random.default_rng(0).standard_normal((5, 3))
    with pytest.raises(InputError, match="images of one class only"):
        ridge(features, np.zeros(5), features)


@pytest.mark.parametrize("net", ["texture", "layout", "radiomics", "texture+layout"])
def test_a_feature_that_real_images_have_alike_does_not_outweigh_the_others(net: str) -> None:
    """Every real image has a black pixel, the synthetic ones have none: one grey level of 255."""
    draw = np.random.default_rng(0)
    real, synthetic = (draw.integers(low, 200, (12, 32, 32)).astype(np.uint8) for low in (0, 1))
    real[:, 0, 0] = 0
    found = quality(real, synthetic, net)
    assert found[f"frechet/{net}"] < 1000 and abs(found[f"kid/{net}"]) < 1000
