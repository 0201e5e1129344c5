"""ColorU: a three-level U-Net from grey to colour skips by concatenation (Morra et al., ICPR); 192,659 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sweep.models.colorizers.initial import PUBLISHED, XAVIER, checked_init, xavier_convolutions
from sweep.models.colorizers.sizing import crop_like, pad_to_multiple


def _act() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.01)


def _down(inside: int, outside: int) -> nn.Sequential:
    conv, shrink = nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 4, stride=2, padding=1)
    return nn.Sequential(conv, _act(), shrink, _act(), nn.BatchNorm2d(outside))


def _up(inside: int, outside: int) -> nn.Sequential:
    layers = [nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1), _act()]
    for _ in range(2):
        layers += [nn.Conv2d(outside, outside, 3, padding=1), _act()]
    return nn.Sequential(*layers, nn.BatchNorm2d(outside))


def _out(inside: int, middle: int) -> nn.Sequential:
    grow, conv = nn.ConvTranspose2d(inside, middle, 4, stride=2, padding=1), nn.Conv2d(middle, middle, 3, padding=1)
    # The published figure draws the last convolution as 3x3; the code that made the released weights has 1x1.
    return nn.Sequential(grow, _act(), conv, _act(), nn.Conv2d(middle, 3, 1))


class ColorU(nn.Module):
    """[N, 1, H, W] -> [N, 3, H, W], unbounded; sides are padded to multiples of eight inside and cropped after.

    `init` "published": PyTorch's default, as the published class, which never calls the initialisation that DECONV's does;
    the output's standard deviation is then about .05. "xavier": Xavier on every Conv2d, as version 0.1 of this project drew
    it (about .19).
    """

    def __init__(self, init: str = PUBLISHED) -> None:
        super().__init__()
        self.down1, self.down2, self.down3 = _down(1, 16), _down(16, 32), _down(32, 64)
        self.up1, self.up2, self.out = _up(64, 32), _up(64, 16), _out(32, 16)
        if checked_init(init) == XAVIER:
            xavier_convolutions(self)

    def forward(self, grey: Tensor) -> Tensor:
        half = self.down1(pad_to_multiple(grey, 8))
        quarter = self.down2(half)
        up = self.up1(self.down3(quarter))
        up = self.up2(torch.cat([quarter, up], dim=1))
        return crop_like(self.out(torch.cat([half, up], dim=1)), grey)
