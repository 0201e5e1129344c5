"""Residual colorizers: a strided stem, eight residual blocks at a quarter of the size, then one of four upsampling heads.

DECONV, PixelShuffle and RESIZE_CONV follow Morra et al. (ICPR), DECO the original of Carlucci et al., arXiv 1703.10881.
The output is unbounded and goes straight into the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweep.models.colorizers.initial import PUBLISHED, caffe_convolutions, checked_init, xavier_convolutions
from sweep.models.colorizers.sizing import crop_like, pad_to_multiple

CHANNELS = 64
BLOCKS = 8
SHRINK = 4  # stem stride 2 times pool stride 2


@dataclass(frozen=True)
class _Norm:
    """Settings of a batch norm layer."""

    eps: float = 1e-5
    momentum: float = 0.1

    def layer(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)


TORCH_NORM, CAFFE_NORM = _Norm(), _Norm(1e-4, 0.02)  # Caffe keeps 0.98 of the moving average


def _conv_norm_act(slope: float = 0.01, norm: _Norm = TORCH_NORM) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), norm.layer(CHANNELS), nn.LeakyReLU(slope))


class ResidualBlock(nn.Module):
    """`x + f(x)`: both activations come before the addition and none after it."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(_conv_norm_act(), _conv_norm_act())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class PostActivationBlock(nn.Module):
    """`act(x + f(x))` with slope 0.02, the block of the Caffe original."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = _conv_norm_act(0.02, CAFFE_NORM).append(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.branch.append(CAFFE_NORM.layer(CHANNELS))
        self.act = nn.LeakyReLU(0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.branch(x))


class ResidualColorizer(nn.Module):
    """Stem, residual body and upsampling head; [N, 1, H, W] -> [N, 3, H, W] at any size."""

    def __init__(self, up: nn.Module, *, block: type[nn.Module] = ResidualBlock, caffe: bool = False) -> None:
        super().__init__()
        norm = CAFFE_NORM if caffe else TORCH_NORM
        # PyTorch pads the pool by one; Caffe pads nothing and rounds the size up instead.
        pool = nn.MaxPool2d(3, 2, ceil_mode=True) if caffe else nn.MaxPool2d(3, 2, padding=1)
        stem = nn.Conv2d(1, CHANNELS, 7, stride=2, padding=3 if caffe else 2)
        self.stem = nn.Sequential(stem, norm.layer(CHANNELS), nn.LeakyReLU(), pool)
        self.body = nn.Sequential(*(block() for _ in range(BLOCKS)))
        self.up = up

    def forward(self, grey: Tensor) -> Tensor:
        return crop_like(self.up(self.body(self.stem(pad_to_multiple(grey, SHRINK)))), grey)


class FixedBilinear(nn.Module):
    """Four times larger by the Caffe bilinear filler (kernel 8, stride 4); a buffer, so nothing can train it."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.kernel: Tensor
        ramp = 1 - (torch.arange(8) / 4 - 0.875).abs()
        self.register_buffer("kernel", torch.outer(ramp, ramp).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv_transpose2d(x, self.kernel, stride=4, padding=2, groups=x.shape[1])


def icnr_(conv: nn.Conv2d, upscale: int = SHRINK) -> None:
    """Give all `upscale`^2 sub-pixels of a colour one and the same filter, so the shuffled output starts without a checkerboard."""
    base = torch.empty(conv.out_channels // upscale**2, *conv.weight.shape[1:])
    nn.init.kaiming_normal_(base)
    with torch.no_grad():
        conv.weight.copy_(base.repeat_interleave(upscale**2, dim=0))
        if conv.bias is not None:
            conv.bias.zero_()


def deconv() -> nn.Module:
    """DECONV: grouped, learnable transposed convolution; 596,611 parameters."""
    up = nn.Sequential(
        nn.Conv2d(CHANNELS, 3, 1), nn.ConvTranspose2d(3, 3, 8, stride=4, padding=2, groups=3, bias=False)
    )
    return xavier_convolutions(ResidualColorizer(up))


def pixelshuffle() -> nn.Module:
    """PixelShuffle: sub-pixel convolution with ICNR start, then a 2x2 blur; 599,440 parameters."""
    to_subpixels = nn.Conv2d(CHANNELS, 3 * SHRINK**2, 1)
    icnr_(to_subpixels)
    blur = nn.Sequential(nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1))
    # The source clamps to +-10,000 here: a no-op in practice, kept because it stops an overflow.
    clamp = nn.Hardtanh(-10_000.0, 10_000.0)
    return ResidualColorizer(
        nn.Sequential(to_subpixels, nn.BatchNorm2d(3 * SHRINK**2), clamp, nn.PixelShuffle(SHRINK), blur)
    )


def resize_conv() -> nn.Module:
    """RESIZE_CONV: nearest neighbour, then a 3x3 convolution, which gives no checkerboard artefacts."""
    grow = nn.Upsample(scale_factor=SHRINK, mode="nearest")
    up = nn.Sequential(nn.Conv2d(CHANNELS, 3, 1), grow, nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3))
    return xavier_convolutions(ResidualColorizer(up))


def deco(init: str = PUBLISHED) -> nn.Module:
    """DE2CO as first published (fmcarlucci/de2co): post-activation blocks and a fixed bilinear upsampling.

    `init` "published": Caffe's xavier filler (by fan-in, zero biases). "xavier": PyTorch's xavier_uniform_ with PyTorch's
    default biases, as version 0.1 of this project drew it.
    """
    up = nn.Sequential(nn.Conv2d(CHANNELS, 3, 1), FixedBilinear())
    draw = caffe_convolutions if checked_init(init) == PUBLISHED else xavier_convolutions
    return draw(ResidualColorizer(up, block=PostActivationBlock, caffe=True))
