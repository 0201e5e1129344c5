"""Texture module T, then colour module C, of Domain Assimilation (arXiv 2402.16005, figure of slide 5).

Block order is the paper's; kernels and channels are not public. These defaults bring 224 and 128 px back to themselves.
"""

from __future__ import annotations

from torch import Tensor, nn

from sweep.core.errors import InputError, suggestion
from sweep.models.colorizers.sizing import crop_like, pad_to_multiple


def _transposed(channels: int, factor: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, 2 * factor, stride=factor, padding=factor // 2)


def _resized(channels: int, factor: int) -> nn.Module:
    grow = nn.Upsample(scale_factor=factor, mode="nearest")
    return nn.Sequential(grow, nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate"))


UPSAMPLERS = {"tconv": _transposed, "resize_conv": _resized}


def _conv_norm_relu(inside: int, outside: int) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]


class TextureColor(nn.Module):
    """[N, 1, H, W] -> one-channel texture [N, 1, H, W] -> [N, 3, H, W], unbounded.

    `tc_upsample` is `tconv` (the paper's transposed convolution) or `resize_conv` (no checkerboard).
    """

    def __init__(self, tc_upsample: str = "tconv") -> None:
        super().__init__()
        if tc_upsample not in UPSAMPLERS:
            raise InputError(
                "colorizer_options.tc_upsample", f"unknown name {tc_upsample!r}", suggestion(tc_upsample, UPSAMPLERS)
            )
        grow = UPSAMPLERS[tc_upsample]
        self.texture = nn.Sequential(
            *_conv_norm_relu(1, 32), nn.MaxPool2d(2),
            *_conv_norm_relu(32, 64), nn.MaxPool2d(2),
            nn.Conv2d(64, 1, 3, padding=1), grow(1, 4),
        )  # fmt: skip
        self.color = nn.Sequential(*_conv_norm_relu(1, 64), nn.Conv2d(64, 3, 3, padding=1), nn.MaxPool2d(2), grow(3, 2))

    def forward(self, grey: Tensor) -> Tensor:
        return crop_like(self.color(self.texture(pad_to_multiple(grey, 4))), grey)
