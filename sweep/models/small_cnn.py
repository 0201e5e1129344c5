"""A network for a laptop: 0.2 M parameters, 64 to 128 px grey pictures, about a tenth of a ResNet-18's work.

Batch normalisation rather than group normalisation: faster on a CPU, foldable for inference, and the statistics are
what AdaBN adapts to another scanner.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)  # channels after 1/2, 1/4, 1/8 and 1/16 of the side


def conv_norm_act(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps or divides the size by `stride`, batch normalisation, ReLU."""
    conv = nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class ResidualConv(nn.Module):
    """`x + f(x)` with one convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = conv_norm_act(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class SmallCNN(nn.Module):
    """Pictures [N, 3, H, W] -> features [N, 2 * widths[-1]]: mean (texture) beside maximum (a single lesion)."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm_act(3, widths[0], kernel=5, stride=2)]
        for inside, outside in itertools.pairwise(widths):
            layers += [conv_norm_act(inside, outside, stride=2), ResidualConv(outside)]
        self.features = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.features(pictures)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
