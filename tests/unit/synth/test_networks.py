"""The shared layers do what their names say, and what the fast forms replace they equal."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sweep.synth.augment import CHANGES, augment
from sweep.synth.average import WeightAverage
from sweep.synth.diffusion import denoise, schedule
from sweep.synth.fastgan import RedrawingCritic
from sweep.synth.feed import Feed, to_pixels, to_signed
from sweep.synth.layers import SpectralNorm, UpConv, channels_at, sizes_up


def test_upconv_equals_doubling_then_convolution() -> None:
    torch.manual_seed(0)
    layer, small = UpConv(3, 5), torch.randn(2, 3, 4, 6)
    kernel = layer.weight.transpose(0, 1)
    assert torch.allclose(layer(small), F.conv2d(F.interpolate(small, scale_factor=2), kernel, padding=1), atol=1e-5)


def test_upconv_gradients_equal_too() -> None:
    torch.manual_seed(0)
    layer, small = UpConv(2, 3), torch.randn(1, 2, 4, 4)
    weigh = torch.randn(1, 3, 8, 8)
    (layer(small) * weigh).sum().backward()
    fast = layer.weight.grad.clone()
    layer.weight.grad = None
    (F.conv2d(F.interpolate(small, scale_factor=2), layer.weight.transpose(0, 1), padding=1) * weigh).sum().backward()
    assert torch.allclose(fast, layer.weight.grad, atol=1e-4)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 4, stride=2, padding=1), nn.Linear(10, 4)])
def test_spectral_norm_brings_the_largest_singular_value_to_one(layer: nn.Module) -> None:
    torch.manual_seed(0)
    normal = SpectralNorm(layer)
    with torch.no_grad():
        normal.layer.weight.mul_(7).add_(torch.randn_like(normal.layer.weight))
    for _ in range(50):
        normal.weight()
    assert torch.linalg.matrix_norm(normal.weight().flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_without_normalising_the_layer_is_itself() -> None:
    plain = SpectralNorm(layer := nn.Linear(4, 4), normalise=False)
    assert plain.weight() is layer.weight


def test_sizes_and_channels() -> None:
    assert sizes_up(128) == [8, 16, 32, 64, 128]
    assert [channels_at(size, 128, 32) for size in (4, 8, 16, 32, 64, 128)] == [512, 512, 256, 128, 64, 32]


@pytest.mark.parametrize("name", CHANGES)
def test_every_augmentation_keeps_shape_and_passes_gradients(name: str) -> None:
    images = torch.rand(6, 1, 32, 32, requires_grad=True)
    changed = CHANGES[name](images, torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    changed.sum().backward()
    assert images.grad.abs().sum() > 0
    again = CHANGES[name](images, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)


def test_translation_moves_by_at_most_an_eighth() -> None:
    dot = torch.zeros(200, 1, 32, 32)
    dot[:, 0, 16, 16] = 1
    moved = CHANGES["translation"](dot, torch.Generator().manual_seed(0)).nonzero()[:, 2:] - 16
    assert moved.abs().max() == 4
    assert torch.equal(augment(dot, "", torch.Generator()), dot)


def test_average_follows_the_network_and_zero_is_the_network() -> None:
    network = nn.Linear(2, 2)
    assert WeightAverage(network, 0.0).network is network
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(5.0)
    for _ in range(200):
        average.update()
    assert torch.allclose(average.network.weight, network.weight, atol=1e-3)


def test_feed_shows_every_image_once_a_round() -> None:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None].expand(10, 4, 4)
    feed = Feed(images, torch.arange(10), 5, torch.Generator().manual_seed(0), flip=True)
    seen = torch.cat([labels for _, (_, labels) in zip(range(4), feed, strict=False)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))


def test_pixels_survive_the_way_there_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_pixels(to_signed(pixels)), pixels)


def test_the_redrawing_critic_charges_for_what_it_forgot() -> None:
    torch.manual_seed(0)
    critic = RedrawingCritic(32, width=4, num_classes=2, spectral=True, weight=2.0)
    scores, extra = critic.judge(torch.rand(6, 1, 32, 32), torch.zeros(6, dtype=torch.long), 3)
    assert scores.shape == (6,)
    assert extra.item() > 0


def test_a_perfect_denoiser_returns_the_image() -> None:
    image = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)

    def knows_the_image(noisy: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        signal, noise = schedule(times)
        return signal * (noisy - signal * image) / noise - noise * image

    settings = {"denoising_steps": 20, "precision": "fp32"}
    assert torch.allclose(
        denoise(knows_the_image, (torch.randn(1, 1, 4, 4),), torch.zeros(1), settings), image, atol=1e-3
    )
