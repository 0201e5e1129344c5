"""The same numbers on a GPU; without one, the GPU's own functions are called on the CPU and on a device without memory."""

from contextlib import nullcontext

import pytest
import torch

from sweep.losses.glcm import GLCMLoss, glcm, glcm_features, hard, soft, soft_glcm
from sweep.losses.glcm.offsets import FOUR_ANGLES, pair_offsets

OFFSETS = pair_offsets((1, 3), FOUR_ANGLES)


@pytest.mark.parametrize("count", [hard._count_one_hot, hard._count_scatter, soft._dense, soft._scatter])
def test_gpu_ways_make_every_tensor_where_the_images_are(count, monkeypatch):
    # On the meta device a tensor made on the CPU by mistake cannot take part; autocast knows no such device.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    images = torch.zeros(
        3, 40, 50, device="meta", dtype=torch.uint8 if count.__module__ == hard.__name__ else torch.float32
    )
    tables = count(images, 16, OFFSETS)
    assert tables.device.type == "meta" and tables.shape == (3, len(OFFSETS), 16, 16)


def test_gpu_gradient_by_gathers_stays_where_the_images_are():
    images, grad = torch.zeros(3, 40, 50, device="meta"), torch.zeros(3, len(OFFSETS), 16, 16, device="meta")
    assert soft._gather(images, 16, OFFSETS, grad).device.type == "meta"


@pytest.mark.parametrize("levels", [8, 64])
def test_gpu_ways_of_counting_are_exact_on_the_cpu_too(levels):
    images = torch.randint(0, levels, (5, 60, 44), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(hard._count_one_hot(images, levels, OFFSETS), hard._count_scatter(images, levels, OFFSETS).int())
    index = torch.randint(0, 1000, (5000,), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(hard._tally_by_scatter(index, 1200), torch.bincount(index, minlength=1200).int())


@pytest.mark.gpu
@pytest.mark.parametrize("way", ["auto", "scatter", "dense", "triton"])
@pytest.mark.parametrize("levels", [8, 64, 256])
def test_hard_counts_are_bit_equal_to_the_cpu_s(way, levels):
    images = torch.randint(0, levels, (5, 60, 44), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(glcm(images.cuda(), levels, (1, 3), backend=way).cpu(), glcm(images, levels, (1, 3)))
    expected = glcm_features(images, levels)
    for name, value in glcm_features(images.cuda(), levels, backend=way).items():
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-7, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.parametrize("way", ["auto", "scatter", "dense", "triton"])
def test_soft_counts_and_gradients_agree_with_the_cpu(way):
    found, slopes = [], []
    weights = torch.randn(3, 32, 32, 1, 4, generator=torch.Generator().manual_seed(1))
    for device, backend in (("cpu", "native"), ("cuda", way)):
        images = (torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0)) * 31).to(device).requires_grad_()
        matrix = soft_glcm(images, 32, backend=backend)
        (matrix * weights.to(device)).sum().backward()
        found.append(matrix.detach().cpu())
        slopes.append(images.grad.cpu())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-3)


@pytest.mark.gpu
def test_the_loss_needs_no_move_to_the_device():
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    colors = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = GLCMLoss()(colors.cuda(), grey.cuda()).cpu()
    torch.testing.assert_close(found, GLCMLoss()(colors, grey), rtol=1e-3, atol=1e-4)
