"""Differentiable counts: values, gradients, and one answer from every backend."""

import pytest
import torch

from sweep.core.errors import InputError
from sweep.losses.glcm import glcm, soft_glcm
from sweep.losses.glcm.offsets import pair_slices
from sweep.losses.glcm.soft import soft_counts

WAYS = ("native", "scatter", "dense")


def _values(shape, levels, dtype=torch.float64, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * (levels - 1)


def _off_the_kinks(shape, levels, seed=0):
    """Values at least 0.1 away from every level, where the triangular bin has a slope."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randint(0, levels - 1, shape, generator=generator)
    return lower + 0.1 + 0.8 * torch.rand(shape, generator=generator, dtype=torch.float64)


def _textbook(images, levels, offset):
    """Dense triangular memberships, one outer product a pair."""
    member = (1 - (images[..., None] - torch.arange(levels)).abs()).clamp_min(0)
    here, there = pair_slices(*images.shape[1:], offset)
    return torch.einsum("nhwi,nhwj->nij", member[:, *here], member[:, *there])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"symmetric": True}, {"normed": True}])
def test_equals_the_hard_counts_on_bin_centres(way, options):
    images = torch.randint(0, 12, (3, 15, 22), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = soft_glcm(images.double(), 12, (1, 3), backend=way, **options)
    torch.testing.assert_close(found, glcm(images, 12, (1, 3), **options).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offset", [(0, 1), (2, 2), (3, 0), (2, -2), (0, -3), (-2, 1), (30, 0)])
def test_equals_the_textbook_in_general_position(way, offset):
    images = _values((2, 13, 18), 9)
    torch.testing.assert_close(soft_counts(images, 9, [offset], way)[:, 0], _textbook(images, 9, offset))


@pytest.mark.parametrize("way", WAYS)
def test_gradcheck(way):
    images = _off_the_kinks((2, 5, 6), 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_glcm(x, 4, (1, 2), backend=way), [images])


@pytest.mark.parametrize("way", WAYS)
def test_gradient_reaches_every_pixel_even_on_bin_centres(way):
    images = torch.randint(0, 6, (2, 9, 9), generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    weights = torch.randn(2, 6, 6, 1, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (soft_glcm(images, 6, backend=way) * weights).sum().backward()
    assert (images.grad != 0).all()


@pytest.mark.extended
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_backends_agree_in_value_and_gradient(dtype):
    weights = torch.randn(3, 16, 16, 2, 4, generator=torch.Generator().manual_seed(2), dtype=dtype)
    values, gradients = [], []
    for way in WAYS:
        images = _values((3, 30, 21), 16, dtype).requires_grad_()
        found = soft_glcm(images, 16, (1, 3), backend=way)
        (found * weights).sum().backward()
        values.append(found.detach())
        gradients.append(images.grad)
    tolerance = {"rtol": 1e-5, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for other in (1, 2):
        torch.testing.assert_close(values[0], values[other], **tolerance)
        torch.testing.assert_close(gradients[0], gradients[other], **tolerance)


@pytest.mark.parametrize("way", WAYS)
def test_values_outside_count_as_the_ends_and_get_no_gradient(way):
    images = torch.tensor([[[-2.0, 1.3, 9.0, 7.0, 0.0]]], dtype=torch.float64).requires_grad_()
    found = soft_counts(images, 8, [(0, 1)], way)
    torch.testing.assert_close(found.detach(), soft_counts(images.detach().clamp(0, 7), 8, [(0, 1)], way))
    (found * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert (images.grad[0, 0] == 0).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("way", WAYS)
def test_not_a_number_comes_out_as_not_a_number(way):
    images = _values((1, 6, 6), 4)
    images[0, 2, 2] = float("nan")
    assert soft_glcm(images, 4, backend=way).isnan().any()


@pytest.mark.parametrize("way", WAYS)
def test_every_pair_counts_once(way):
    found = soft_glcm(_values((2, 10, 12), 8), 8, backend=way)
    expected = torch.tensor([10 * 11, 9 * 11, 9 * 12, 9 * 11], dtype=torch.float64)
    torch.testing.assert_close(found.sum((1, 2))[:, 0], expected.expand(2, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    images = _values((1, 8, 8), 4).to(dtype)
    found = soft_glcm(images, 4)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, soft_glcm(images.float(), 4))


def test_autocast_does_not_blunt_the_dense_way():
    images = _values((1, 20, 20), 8, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = soft_glcm(images, 8, backend="dense")
    torch.testing.assert_close(found, soft_glcm(images, 8, backend="native"), atol=1e-4, rtol=1e-5)


def test_strided_images_are_read_correctly():
    images = _values((4, 20, 20), 8)[::2, ::2, 1:]
    for way in WAYS:
        torch.testing.assert_close(soft_glcm(images, 8, backend=way), soft_glcm(images.clone(), 8))


@pytest.mark.parametrize(
    ("images", "levels", "words"),
    [
        (torch.zeros(1, 4, 4, dtype=torch.uint8), 8, "give a float tensor"),
        (torch.zeros(4, 4), 8, r"shape \(4, 4\)"),
        (torch.zeros(1, 4, 4), 1, "a whole number of bins from 2"),
    ],
)
def test_misuse_names_the_fix(images, levels, words):
    with pytest.raises(InputError, match=words):
        soft_glcm(images, levels)
