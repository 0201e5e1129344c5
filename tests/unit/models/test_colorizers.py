"""Colorizers against the published layer tables."""

import pytest
import torch
from torch import nn

from sweep.core.errors import InputError
from sweep.models.colorizers import build_colorizer
from sweep.models.colorizers.decomposition import clahe, gradient_magnitude
from sweep.models.colorizers.residual import FixedBilinear, PostActivationBlock, ResidualBlock


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("none", 0), ("decomposition", 0), ("matching", 6), ("deconv", 596_611), ("pixelshuffle", 599_440),
        ("coloru", 192_659), ("resize_conv", 596_503), ("deco", 596_419), ("texture_color", 22_296),
    ],
)  # fmt: skip
def test_parameter_counts_are_the_published_ones(name, parameters):
    assert _count(build_colorizer(name)) == parameters


@pytest.mark.parametrize(("px", "stem_px"), [(224, 56), (128, 32)])
def test_residual_bodies_work_at_a_quarter_of_the_size(px, stem_px):
    for name in ("deconv", "pixelshuffle", "deco"):
        assert build_colorizer(name).eval().stem(torch.rand(1, 1, px, px)).shape[-1] == stem_px


def test_icnr_makes_sub_pixels_equal_at_the_start():
    model = build_colorizer("pixelshuffle")
    to_subpixels, norm, clamp, shuffle, _ = model.up
    picture = shuffle(clamp(norm(to_subpixels(torch.randn(2, 64, 8, 8)))))
    blocks = picture.unfold(2, 4, 4).unfold(3, 4, 4)
    torch.testing.assert_close(blocks, blocks[..., :1, :1].expand_as(blocks))
    assert picture.std() > 0.1


def test_the_residual_addition_comes_last():
    block = ResidualBlock().eval()
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(block(x) - x, (block.branch(x) + x) - x)
    assert isinstance(block.branch[1][2], nn.LeakyReLU)


def test_the_caffe_block_activates_after_the_addition():
    block = PostActivationBlock().eval()
    x = torch.randn(1, 64, 8, 8)
    torch.testing.assert_close(block(x), nn.functional.leaky_relu(x + block.branch(x), 0.02))


def test_fixed_bilinear_reproduces_a_constant_and_a_ramp():
    up = FixedBilinear()
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    inside = up(ramp)[..., 8:-8, 8:-8]
    torch.testing.assert_close(inside.diff(dim=-1), torch.full_like(inside.diff(dim=-1), 0.25))
    assert list(up.parameters()) == []


def test_replication_repeats_the_grey_image():
    grey = torch.rand(2, 1, 9, 7)
    assert torch.equal(build_colorizer("none")(grey), grey.repeat(1, 3, 1, 1))


def test_matching_starts_as_replication():
    grey = torch.rand(2, 1, 9, 7)
    torch.testing.assert_close(build_colorizer("matching")(grey), grey.repeat(1, 3, 1, 1))


def test_decomposition_keeps_grey_and_stays_in_range():
    grey = torch.rand(2, 1, 50, 61)
    colors = build_colorizer("decomposition")(grey)
    assert torch.equal(colors[:, :1], grey)
    assert colors.min() >= 0 and colors.max() <= 1


def test_clahe_spreads_a_dull_image_and_keeps_the_order_inside_a_tile():
    dull = 0.45 + 0.1 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert clahe(dull, clip=8.0).std() > 3 * dull.std()
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    assert (clahe(ramp, tiles=1).flatten().diff() >= 0).all()


def test_unclipped_single_tile_clahe_is_histogram_equalisation():
    grey = 0.25 + 0.5 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    equal = clahe(grey, tiles=1, clip=1e9).flatten()
    rank = grey.flatten().argsort().argsort() / grey.numel()
    assert (equal - rank).abs().max() < 0.02


def test_gradient_is_largest_on_the_edge():
    step = torch.zeros(1, 1, 16, 16)
    step[..., 8:] = 1
    edge = gradient_magnitude(step)
    assert edge[..., 7:9].min() > 0.7 and edge[..., :6].max() < 0.01


def test_resized_texture_color_has_no_transposed_convolution():
    model = build_colorizer("texture_color", tc_upsample="resize_conv")
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in model.modules())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: build_colorizer("pixel_shuffle"), "did you mean pixelshuffle"),
        (lambda: build_colorizer("deconv", width=3), "deconv does not take"),
        (lambda: build_colorizer("texture_color", tc_upsample="tcon"), "did you mean tconv"),
    ],
)
def test_mistakes_name_the_fix(call, words):
    with pytest.raises(InputError, match=words):
        call()
