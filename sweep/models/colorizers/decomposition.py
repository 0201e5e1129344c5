"""Fixed decomposition of a grey image: itself, its local contrast (CLAHE) and its gradient.

The idea of Gomez-Flores and Pereira (MBEC 61, 2023) that a fixed decomposition beats both replication and a learned
layer. All three channels lie in [0, 1] and are differentiable, so that a white-box attack can pass through.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweep.models.input_checks import check_grey


def equalisation_curves(grey: Tensor, tiles: int, bins: int, clip: float) -> Tensor:
    """Cumulative histogram of each tile, clipped at `clip` times the even share: [N, bins + 1, tiles, tiles] in [0, 1].

    `grey` is [N, 1, H, W] in [0, 1]. What the clip cuts off is given to all bins alike, as in CLAHE.
    """
    height, width = grey.shape[-2:]
    tall, wide = -(-height // tiles), -(-width // tiles)
    padded = functional.pad(grey, (0, tiles * wide - width, 0, tiles * tall - height), mode="replicate")
    index = (padded * bins).long().clamp_(0, bins - 1)
    index = index.view(-1, tiles, tall, tiles, wide).transpose(2, 3).flatten(3)
    counts = grey.new_zeros(*index.shape[:3], bins).scatter_add_(3, index, grey.new_ones(()).expand(index.shape))
    ceiling = clip * tall * wide / bins
    excess = (counts - ceiling).clamp_min(0).sum(-1, keepdim=True)
    shares = (counts.clamp_max(ceiling) + excess / bins) / (tall * wide)
    return functional.pad(shares.cumsum(-1), (1, 0)).permute(0, 3, 1, 2)


def clahe(grey: Tensor, tiles: int = 8, bins: int = 64, clip: float = 2.0) -> Tensor:
    """Contrast-limited adaptive equalisation of [N, 1, H, W] in [0, 1]; the gradient passes through each pixel's value.

    One trilinear look-up in (value, row, column) blends the curves of the four nearest tiles. InputError for other images.
    """
    check_grey(grey, None)
    curves = equalisation_curves(grey.detach(), tiles, bins, clip).unsqueeze(1)
    rows, columns = ((torch.arange(n, device=grey.device, dtype=grey.dtype) + 0.5) * 2 / n - 1 for n in grey.shape[-2:])
    # Tile curves lie at cell centres, curve points at the ends of bins: half a cell of inset on the value axis.
    value = (grey.squeeze(1).clamp(0, 1) * 2 - 1) * bins / (bins + 1)
    y, x = rows[:, None].expand_as(value), columns.expand_as(value)
    where = torch.stack([x, y, value], dim=-1).unsqueeze(1)
    return functional.grid_sample(curves, where, padding_mode="border", align_corners=False).squeeze(1)


def gradient_magnitude(grey: Tensor) -> Tensor:
    """Sobel gradient of [N, 1, H, W] scaled to [0, 1]: a full step from 0 to 1 gives one, a flat area about zero.

    InputError for other images.
    """
    check_grey(grey, None)
    # [[1, 2, 1], [0, 0, 0], [-1, -2, -1]] / 4, made on the device: a recorded training step may not copy from the host.
    place = torch.arange(3, dtype=grey.dtype, device=grey.device)
    sobel = torch.outer(1 - place, 2 - (place - 1).abs()) / 4
    kernels = torch.stack([sobel, sobel.T]).unsqueeze(1)
    slope = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    # 1e-6 keeps the square root differentiable in flat areas.
    return ((slope.square().sum(1, keepdim=True) + 1e-6) / 2).sqrt()


class Decomposition(nn.Module):
    """[N, 1, H, W] in [0, 1] -> grey, CLAHE, gradient; no parameters."""

    def __init__(self, tiles: int = 8, bins: int = 64, clip: float = 2.0) -> None:
        super().__init__()
        self.tiles, self.bins, self.clip = tiles, bins, clip

    def forward(self, grey: Tensor) -> Tensor:
        # Look-up coordinates need float32: in bfloat16 neighbouring pixels would coincide.
        plain = grey.float()
        with torch.autocast(grey.device.type, enabled=False):
            parts = [plain, clahe(plain, self.tiles, self.bins, self.clip), gradient_magnitude(plain)]
        return torch.cat(parts, dim=1).to(grey.dtype)
