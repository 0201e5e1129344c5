"""The denoising network of `ddpm`: a small class-conditional U-Net on images folded into patches.

From 64 px on, 2x2 pixels become four channels (a quarter of the work); maps halve down to 16 rows, where one
self-attention sees the whole image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ATTENTION_ROWS = 16
PATCHED_FROM_PX = 64
TIME_FEATURES = 64
GROUPS = 4


class DenoisingUNet(nn.Module):
    """Noisy images [N, 1, px, px], times [N] in [0, 1] and labels [N] -> velocity [N, 1, px, px]."""

    def __init__(self, image_px: int, *, width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.latent_shapes = ((1, image_px, image_px),)
        self.patch = 2 if image_px >= PATCHED_FROM_PX else 1
        levels = (image_px // self.patch // ATTENTION_ROWS).bit_length()
        widths = [width * min(4, 1 << level) for level in range(levels)]
        code = 4 * width
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, code), nn.SiLU(), nn.Linear(code, code))
        self.kind = nn.Embedding(num_classes, code)
        self.stem = nn.Conv2d(self.patch**2, width, 3, padding=1)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        channels, skips = width, []
        for wide in widths:
            self.downs.append(Residual(channels, wide, code, dropout))
            skips.append(wide)
            channels = wide
        self.middle = nn.ModuleList(
            [
                Residual(channels, channels, code, dropout),
                Attention(channels),
                Residual(channels, channels, code, dropout),
            ]
        )
        for wide in reversed(skips):
            self.ups.append(Residual(channels + wide, wide, code, dropout))
            channels = wide
        self.out = nn.Sequential(_norm(channels), nn.SiLU(), _zeroed(nn.Conv2d(channels, self.patch**2, 3, padding=1)))

    def forward(self, noisy: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        code = self.time(_waves(times)) + self.kind(labels)
        values = self.stem(_unfold(noisy, self.patch))
        skips = []
        for level, down in enumerate(self.downs):
            values = down(F.avg_pool2d(values, 2) if level else values, code)
            skips.append(values)
        first, attention, last = self.middle
        values = last(attention(first(values, code)), code)
        for level, up in enumerate(self.ups):
            values = F.interpolate(values, scale_factor=2) if level else values
            values = up(torch.cat([values, skips.pop()], 1), code)
        return F.pixel_shuffle(self.out(values), self.patch)


class Residual(nn.Module):
    """Two 3x3 convolutions with group norm; time and class shift the channels in between."""

    def __init__(self, channels_in: int, channels_out: int, code: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels_out, 3, padding=1))
        self.shift = nn.Linear(code, channels_out)
        self.norm = _norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.second = _zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.straight = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, values: Tensor, code: Tensor) -> Tensor:
        inner = self.first(values)
        inner = inner + self.shift(F.silu(code)).to(inner.dtype)[:, :, None, None]
        return self.straight(values) + self.second(self.dropout(F.silu(self.norm(inner))))


class Attention(nn.Module):
    """Self-attention over all positions of a small map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.project, self.out = nn.Conv2d(channels, 3 * channels, 1), _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, values: Tensor) -> Tensor:
        n, c, rows, columns = values.shape
        query, key, content = self.project(self.norm(values)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        seen = F.scaled_dot_product_attention(query, key, content)
        return values + self.out(seen.transpose(1, 2).reshape(n, c, rows, columns))


def _waves(times: Tensor) -> Tensor:
    """Sines and cosines of a time in [0, 1] at 32 rates from 1 to 1000; [N, 64]."""
    rates = torch.exp(torch.linspace(0, math.log(1000), TIME_FEATURES // 2, device=times.device))
    phase = times[:, None] * rates
    return torch.cat([phase.sin(), phase.cos()], 1)


def _unfold(images: Tensor, patch: int) -> Tensor:
    return F.pixel_unshuffle(images, patch).contiguous(memory_format=torch.channels_last)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)  # any width is allowed, not only multiples of four


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with zero weights: each block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
