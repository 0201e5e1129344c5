"""Radiomic features by hand on the worked example of the IBSI manual (four grey levels, 4 x 4 pixels), and the distance made of them."""

import numpy as np
import pytest

from sweep.synth import radiomics as module
from sweep.synth.descriptors import feature_net
from sweep.synth.quality import quality
from sweep.synth.radiomics import CO_OCCURRENCE, DIFFERENCES, EMPHASES, FIRST_ORDER, NAMES, radiomics

EXAMPLE = np.array([[1, 2, 2, 3], [1, 2, 3, 3], [4, 2, 4, 1], [4, 1, 2, 3]], np.uint8) - 1


def named(names, values):
    return dict(zip(names, values, strict=True))


def test_zones_of_the_example():
    matrix = module.size_zones(EXAMPLE, 4)
    assert matrix[:, :5].tolist() == [[2, 1, 0, 0, 0], [0, 0, 0, 0, 1], [1, 0, 1, 0, 0], [1, 1, 0, 0, 0]]
    found = named(EMPHASES, module.of_sizes(matrix, 16))
    assert found["percentage"] == 8 / 16
    assert found["short"] == pytest.approx((4 + 2 / 4 + 1 / 9 + 1 / 25) / 8)
    assert found["long"] == pytest.approx((4 + 2 * 4 + 9 + 25) / 8)
    assert found["high_grey"] == pytest.approx((3 * 1 + 1 * 4 + 2 * 9 + 2 * 16) / 8)
    assert found["grey_non_uniformity"] == pytest.approx((9 + 1 + 4 + 4) / 8)
    assert found["size_non_uniformity_normalised"] == pytest.approx((16 + 4 + 1 + 1) / 64)
    assert found["size_variance"] == pytest.approx(46 / 8 - (16 / 8) ** 2)
    # Eight zones: two are alike (level 1, size 1), the others differ.
    assert found["entropy"] == pytest.approx(2 / 8 * 2 + 6 / 8 * 3)


def test_runs_of_the_example():
    across, down, *diagonal = module.run_lengths(EXAMPLE, 4)
    assert across.tolist() == [[4, 0, 0, 0], [3, 1, 0, 0], [2, 1, 0, 0], [3, 0, 0, 0]]
    assert down.tolist() == [[2, 1, 0, 0], [2, 0, 1, 0], [2, 1, 0, 0], [1, 1, 0, 0]]
    assert all((matrix * np.arange(1, 5)).sum() == 16 for matrix in diagonal)
    found = named(EMPHASES, module.of_sizes(across, 16))
    assert found["percentage"] == 14 / 16 and found["short"] == pytest.approx((12 + 2 / 4) / 14)
    assert found["long_low_grey"] == pytest.approx((4 + 3 / 4 + 2 / 9 + 3 / 16 + 4 / 4 + 4 / 9) / 14)


def test_diagonal_runs():
    rising = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], np.uint8)
    _, _, up, down = module.run_lengths(rising, 2)
    assert up[1].tolist() == [0, 0, 1] and down[1].tolist() == [3, 0, 0]  # the three ones lie on one rising line


def test_grey_tone_differences_by_hand():
    """Levels 1 1 / 1 2: each 1 is a third away from the mean of its neighbours, the 2 is one away; p = 3/4 and 1/4, s = 1 and 1."""
    found = named(DIFFERENCES, module.grey_tone_differences(np.array([[0, 0], [0, 1]], np.uint8), 4))
    assert found == pytest.approx(
        {"coarseness": 1, "contrast": 0.09375, "busyness": 2, "complexity": 0.5, "strength": 1}
    )


def test_co_occurrence_by_hand():
    """Two columns 1 2: across all pairs are (1, 2), up and down (1, 1) or (2, 2), on both diagonals (1, 2)."""
    found = named(CO_OCCURRENCE, module.co_occurrence(np.array([[[0, 1], [0, 1]]], np.uint8), 2)[0])
    assert found["contrast"] == pytest.approx(3 / 4) and found["joint_entropy"] == 1 and found["joint_maximum"] == 0.5
    assert found["correlation"] == pytest.approx((-1 - 1 - 1 + 1) / 4)
    # Sums i + j are 3, their mean, but up and down, where they are 2 and 4.
    assert found["cluster_shade"] == pytest.approx(0) and found["cluster_prominence"] == pytest.approx(1 / 4)


def test_first_order_by_hand():
    image = np.array([[0, 0, 0, 16], [16, 16, 16, 32]], np.uint8)
    found = named(FIRST_ORDER, module.first_order(image, image // 16))
    assert found["mean"] == 12 and found["variance"] == 112 and found["range"] == 32 and found["median"] == 16
    assert found["entropy"] == pytest.approx(-3 / 8 * np.log2(3 / 8) + 4 / 8 + 3 / 8)
    assert found["uniformity"] == pytest.approx((9 + 16 + 1) / 64)


def test_constant_images_have_finite_features():
    found = radiomics(np.full((2, 16, 16), 100, np.uint8))
    assert found.shape == (2, len(NAMES)) and np.isfinite(found).all()
    assert named(NAMES, found[0])["ngtdm_coarseness"] == 1e6


def test_the_distance_is_zero_for_equal_sets_and_grows_with_blur():
    draw = np.random.default_rng(0)
    real = draw.integers(0, 256, (12, 16, 16)).astype(np.uint8)
    smooth = ((real[:, :, :-1].astype(int) + real[:, :, 1:]) // 2).astype(np.uint8)
    smooth = np.concatenate([smooth, smooth[:, :, -1:]], 2)
    own = quality(real, real, "radiomics")["frechet/radiomics"]
    assert own == pytest.approx(0, abs=1e-6) and quality(real, smooth, "radiomics")["frechet/radiomics"] > 10
    assert feature_net("radiomics").compute(real).shape == (12, len(NAMES))
