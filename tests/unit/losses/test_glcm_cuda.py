"""The same numbers on a GPU; skipped where there is none."""

import pytest
import torch

from sweep.losses.glcm import GLCMLoss, glcm, glcm_features, soft_glcm

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("way", ["auto", "scatter", "dense"])
@pytest.mark.parametrize("levels", [8, 64, 256])
def test_hard_counts_are_bit_equal_to_the_cpu_s(way, levels):
    images = torch.randint(0, levels, (5, 60, 44), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(glcm(images.cuda(), levels, (1, 3), backend=way).cpu(), glcm(images, levels, (1, 3)))
    expected = glcm_features(images, levels)
    for name, value in glcm_features(images.cuda(), levels, backend=way).items():
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("way", ["auto", "scatter", "dense"])
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


def test_the_loss_needs_no_move_to_the_device():
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    colors = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = GLCMLoss()(colors.cuda(), grey.cuda()).cpu()
    torch.testing.assert_close(found, GLCMLoss()(colors, grey), rtol=1e-3, atol=1e-4)
