"""Building blocks shared by several generators: fused upsampling, spectral norm, noise.

N images, C channels, H rows, W columns, S size of the smallest map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_MAP = 4  # rows and columns where every generator starts and every critic ends
CHANNEL_CAP = 16  # channels at the smallest map, in multiples of the width


def channels_last(network: nn.Module) -> nn.Module:
    """`network` with its weights in channels-last layout, the fastest for convolutions."""
    return network.to(memory_format=torch.channels_last)


def channels_at(size: int, image_px: int, width: int) -> int:
    """Channels of a map of `size` rows: `width` at full size, doubled at each halving up to 16 times the width."""
    return width * min(CHANNEL_CAP, image_px // size)


def sizes_up(image_px: int) -> list[int]:
    """The sizes a generator passes after its smallest map: 8, 16, ... image_px."""
    return [SMALLEST_MAP << step for step in range(1, (image_px // SMALLEST_MAP).bit_length())]


class UpConv(nn.Module):
    """Nearest-neighbour doubling and a 3x3 convolution, computed as the equal 4x4 transposed convolution of stride 2.

    The doubled map holds every pixel four times; folding the sums into the kernel needs 16 products per small pixel
    where the two separate steps need 36. The 3x3 kernel stays the parameter, so the learned function is the same.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        kernel = nn.init.orthogonal_(torch.empty(channels_out, channels_in, 3, 3))
        self.weight = nn.Parameter(
            kernel.transpose(0, 1).contiguous()
        )  # [in, out, 3, 3], the layout of a transposed convolution
        self.fold: Tensor
        self.register_buffer("fold", _folding(), persistent=False)

    def forward(self, small: Tensor) -> Tensor:
        with torch.autocast(small.device.type, enabled=False):  # sums of weights stay in float32
            folded = (self.weight.flatten(2) @ self.fold).unflatten(2, (4, 4))
        return F.conv_transpose2d(small, folded, stride=2, padding=1)


def _folding() -> Tensor:
    """[9, 16] of zeros and ones: tap k of a 3x3 kernel adds to tap d - k + 2 of the 4x4 one, for copies d = 0, 1."""
    line = torch.zeros(3, 4)
    for tap in range(3):
        line[tap, 2 - tap : 4 - tap] = 1
    return torch.einsum("ia,jb->ijab", line, line).reshape(9, 16)


class SpectralNorm(nn.Module):
    """A convolution or linear layer whose weight is divided by its largest singular value (Miyato et al. 2018).

    The power iteration runs once for each training forward; `normalise=False` leaves the plain layer.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, normalise: bool = True) -> None:
        super().__init__()
        self.layer, self.normalise = layer, normalise
        self.left: Tensor
        nn.init.orthogonal_(layer.weight)
        if normalise:
            rows = layer.weight.shape[0]
            self.register_buffer("left", F.normalize(torch.randn(rows), dim=0))

    def forward(self, values: Tensor) -> Tensor:
        weight = self.weight()
        if isinstance(self.layer, nn.Linear):
            return F.linear(values, weight, self.layer.bias)
        return F.conv2d(values, weight, self.layer.bias, self.layer.stride, self.layer.padding)

    def weight(self) -> Tensor:
        """The weight as the forward pass uses it."""
        raw = self.layer.weight
        if not self.normalise:
            return raw
        with torch.autocast(raw.device.type, enabled=False):  # in bf16 the iteration would not converge
            matrix = raw.flatten(1)
            with torch.no_grad():
                right = F.normalize(matrix.t().mv(self.left), dim=0)
                left = F.normalize(matrix.mv(right), dim=0)
                if self.training:
                    self.left.copy_(left)
            return raw / torch.dot(left, matrix.mv(right))


class Noise(nn.Module):
    """Adds filtered grey noise to every channel of a full-size map, by a learned 3x3 kernel for each: speckle.

    Only at full size: noise in smaller maps moves whole structures, and the generator then ignores its latent.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        nn.init.normal_(self.filter.weight, std=0.05)

    def forward(self, values: Tensor, noise: Tensor) -> Tensor:
        return values + self.filter(noise)
