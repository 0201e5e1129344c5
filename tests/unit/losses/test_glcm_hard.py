"""Exact counts and their properties against scikit-image, by every backend."""

import math

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import graycomatrix, graycoprops

from sweep.core.compiled import jit
from sweep.core.errors import InputError
from sweep.losses.glcm import PROPERTIES, backend, glcm, glcm_features, glcm_properties
from sweep.losses.glcm.offsets import EIGHT_ANGLES, FOUR_ANGLES, pair_offsets

WAYS = ("native", "scatter", "dense")


def _images(shape, levels, seed=0, smooth=True):
    values = np.random.default_rng(seed).random(shape)
    if smooth:  # neighbours alike, as in real pictures
        values = (values + np.roll(values, 1, 1) + np.roll(values, 1, 2)) / 3
    return (values * (levels - 1)).round().astype(np.uint8)


def _reference(images, levels, distances, angles, **options):
    return np.stack([graycomatrix(i, distances, angles, levels, **options) for i in images])


def _reference_properties(matrices, name):
    return np.stack([graycoprops(m, name) for m in matrices])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("shape", "levels", "distances", "angles"),
    [
        ((3, 32, 32), 8, (1,), FOUR_ANGLES),
        ((2, 17, 40), 64, (1, 3), EIGHT_ANGLES),
        ((2, 40, 17), 256, (2.5, 5), (0.3, 1.9, -2.2)),
        ((1, 3, 2), 4, (1, 2, 9), FOUR_ANGLES),
        ((2, 1, 1), 4, (1,), FOUR_ANGLES),
    ],
)
@pytest.mark.parametrize("options", [{}, {"symmetric": True}, {"symmetric": True, "normed": True}, {"normed": True}])
def test_counts_are_bit_equal_to_scikit_image(way, shape, levels, distances, angles, options):
    images = _images(shape, levels)
    found = glcm(torch.from_numpy(images), levels, distances, angles, backend=way, **options)
    assert np.array_equal(found.numpy(), _reference(images, levels, distances, angles, **options))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(2, 256), st.floats(0, 14), st.floats(-7, 7), st.integers(0, 99)
)
def test_any_offset_of_any_image_is_counted_alike(height, width, levels, distance, angle, seed):
    images = _images((2, height, width), levels, seed, smooth=False)
    expected = _reference(images, levels, [distance], [angle])
    for way in ("native", "scatter"):
        assert np.array_equal(glcm(torch.from_numpy(images), levels, [distance], [angle], backend=way), expected)


def test_diagonal_at_distance_three_is_two_steps():
    assert pair_offsets([3], FOUR_ANGLES) == [(0, 3), (2, 2), (3, 0), (2, -2)]
    assert pair_offsets([1], [math.radians(30)]) == [(0, 1)]  # sin is just below one half


@pytest.mark.parametrize("levels", [2, 8, 64, 256])
@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_equal_scikit_image(levels, name):
    images = _images((3, 24, 31), levels)
    for options in ({}, {"symmetric": True}, {"normed": True}):
        expected = _reference_properties(_reference(images, levels, (1, 3), FOUR_ANGLES, **options), name)
        counts = glcm(torch.from_numpy(images), levels, (1, 3), **options)
        assert counts.shape == (3, levels, levels, 2, 4)
        np.testing.assert_allclose(glcm_properties(counts, [name])[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("levels", [16, 256])
def test_features_in_one_step_equal_the_two_steps(way, symmetric, levels):
    images = torch.from_numpy(_images((5, 24, 31), levels))
    two_steps = glcm_properties(glcm(images, levels, (1, 2), symmetric=symmetric))
    one_step = glcm_features(images, levels, (1, 2), symmetric=symmetric, backend=way)
    for name in PROPERTIES:
        assert one_step[name].shape == (5, 2, 4) and one_step[name].dtype == torch.float64
        torch.testing.assert_close(one_step[name], two_steps[name], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [0, 3, 7])
def test_constant_images_have_correlation_one_as_in_scikit_image(way, value):
    images = np.full((1, 9, 9), value, np.uint8)
    reference = _reference(images, 8, [1], FOUR_ANGLES)
    found = glcm_features(torch.from_numpy(images), 8, backend=way)
    for name in PROPERTIES:
        np.testing.assert_allclose(found[name], _reference_properties(reference, name), atol=1e-12)
        np.testing.assert_allclose(
            glcm_properties(torch.from_numpy(reference.astype(np.int64)))[name], found[name], atol=1e-12
        )


@pytest.mark.parametrize("way", WAYS)
def test_an_offset_without_pairs_gives_what_scikit_image_gives(way):
    images = _images((2, 5, 5), 8)
    reference = _reference(images, 8, [7], FOUR_ANGLES)
    found = glcm_features(torch.from_numpy(images), 8, [7], backend=way)
    for name in PROPERTIES:
        np.testing.assert_allclose(found[name], _reference_properties(reference, name))


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_batch_stays_empty(way):
    images = torch.zeros(0, 9, 9, dtype=torch.uint8)
    assert glcm(images, 8, backend=way).shape == (0, 8, 8, 1, 4)
    assert glcm_features(images, 8, backend=way)["ASM"].shape == (0, 1, 4)


def test_large_batches_are_counted_in_pieces_without_seams():
    images = torch.from_numpy(_images((9, 12, 12), 256))
    assert torch.equal(glcm(images, 256, backend="scatter"), glcm(images, 256, backend="native"))


def test_strided_images_are_read_correctly():
    images = torch.from_numpy(_images((4, 20, 20), 8))
    for way in WAYS:
        assert torch.equal(glcm(images[::2, ::2, 1:], 8, backend=way), glcm(images[::2, ::2, 1:].clone(), 8))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: glcm(torch.zeros(1, 4, 4), 8), "give a uint8 tensor"),
        (lambda: glcm(torch.zeros(4, 4, dtype=torch.uint8), 8), r"shape \(4, 4\)"),
        (lambda: glcm(torch.full((1, 4, 4), 8, dtype=torch.uint8), 8), "values up to 8 for 8 levels"),
        (lambda: glcm(torch.zeros(1, 4, 4, dtype=torch.uint8), 300), "1 to 256"),
        (lambda: glcm(torch.zeros(1, 4, 4, dtype=torch.uint8), 8.0), "8.0"),
        (lambda: glcm(np.zeros((1, 4, 4), np.uint8), 8), "numpy.uint8.*give a uint8 tensor"),
        (lambda: glcm_properties(torch.zeros(1, 4, 4)), "the matrices"),
        (lambda: glcm(torch.zeros(1, 4, 4, dtype=torch.uint8), 8, backend="fast"), "unknown name 'fast'"),
        (lambda: glcm_properties(torch.zeros(1, 4, 4, 1, 1), ["entropy"]), "unknown property 'entropy'"),
    ],
)
def test_misuse_names_the_fix(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_without_numba_the_plain_way_is_taken(monkeypatch):
    images = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert backend.choose("auto", images, 8) == "native"
    monkeypatch.setattr(backend, "native_works", lambda: False)
    assert backend.choose("auto", images, 8) == "scatter"
    with pytest.raises(InputError, match="needs numba"):
        backend.choose("native", images, 8)


def test_on_a_gpu_matrix_products_serve_few_levels_and_atomics_many():
    images = torch.zeros(1, 4, 4, dtype=torch.uint8, device="meta")
    assert [backend.choose("auto", images, levels) for levels in (8, 16, 17, 256)] == [
        "dense",
        "dense",
        "scatter",
        "scatter",
    ]


def test_gpu_tally_equals_the_cpu_s():
    """The branch for GPUs runs on any device; here it is made to run on the CPU."""
    from sweep.losses.glcm import hard

    index = torch.randint(0, 50, (400,), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    ones = torch.ones((), dtype=torch.int32).expand(index.shape)
    by_atomics = torch.zeros(50, dtype=torch.int32).scatter_add_(0, index.long(), ones)
    assert torch.equal(by_atomics.long(), hard._tally(index, 50))


def test_kernels_compile_without_a_folder_for_their_cache(monkeypatch):
    real = numba.njit

    def read_only(*args, **options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return real(*args, **options)

    monkeypatch.setattr(numba, "njit", read_only)
    assert jit(lambda x: x + 1)(2) == 3
