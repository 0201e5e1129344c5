"""FastGAN for small data sets: skip-layer excitation in the generator, a critic that also reconstructs its input.

After FastGAN (Liu et al. 2021), with spectral norm in the critic and, since our images are small, skips over a factor
of 8 instead of 16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweep.synth.layers import SMALLEST_MAP, Noise, UpConv, channels_at, sizes_up
from sweep.synth.networks import SLOPE, ConvCritic

SKIP_FACTOR = 8
REDRAWN_FROM = 8  # rows of the critic's map that the reconstruction starts from
REDRAWN_PX = 32


class GatedUp(nn.Module):
    """Doubling, batch norm, and one half of the channels gating the other; noise before that where it is given."""

    def __init__(self, channels_in: int, channels_out: int, noise: bool) -> None:
        super().__init__()
        self.up, self.norm = UpConv(channels_in, 2 * channels_out), nn.BatchNorm2d(2 * channels_out)
        self.noise = Noise(2 * channels_out) if noise else None

    def forward(self, values: Tensor, noise: Tensor) -> Tensor:
        values = self.up(values)
        return F.glu(self.norm(values if self.noise is None else self.noise(values, noise)), dim=1)


class Excitation(nn.Module):
    """A small early map gates the channels of a large late map."""

    def __init__(self, channels_early: int, channels_late: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_early, channels_late, SMALLEST_MAP)
        self.weigh = nn.Conv2d(channels_late, channels_late, 1)

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        small = F.adaptive_avg_pool2d(early, SMALLEST_MAP)
        return late * torch.sigmoid(self.weigh(F.leaky_relu(self.squeeze(small), SLOPE)))


class SkipGenerator(nn.Module):
    """Gated doublings from a 4x4 map to the image size, with excitation of each map by the one an eighth its size."""

    def __init__(self, image_px: int, *, width: int, latent: int, num_classes: int = 1) -> None:
        super().__init__()
        self.latent_shapes = ((latent,), (1, image_px, image_px))
        self.class_vector = nn.Embedding(num_classes, latent) if num_classes > 1 else None
        self.sizes = (SMALLEST_MAP, *sizes_up(image_px))
        widths = {size: channels_at(size, image_px, width) for size in self.sizes}
        self.stem = nn.Linear(latent, 2 * widths[SMALLEST_MAP] * SMALLEST_MAP**2)
        self.stem_norm = nn.BatchNorm2d(2 * widths[SMALLEST_MAP])
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        self.ups = nn.ModuleList(GatedUp(widths[a], widths[b], noise=b == image_px) for a, b in pairs)
        late = [size for size in self.sizes if size // SKIP_FACTOR in widths]
        self.excitations = nn.ModuleDict(
            {str(size): Excitation(widths[size // SKIP_FACTOR], widths[size]) for size in late}
        )
        self.to_grey = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, latents: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        code = latents[0] if self.class_vector is None else latents[0] + self.class_vector(labels)
        stem = self.stem(code).view(len(code), -1, SMALLEST_MAP, SMALLEST_MAP)
        values = F.glu(self.stem_norm(stem.contiguous(memory_format=torch.channels_last)), dim=1)
        maps = {SMALLEST_MAP: values}
        for size, up in zip(self.sizes[1:], self.ups, strict=False):
            values = up(values, latents[1])
            if str(size) in self.excitations:
                values = self.excitations[str(size)](maps[size // SKIP_FACTOR], values)
            maps[size] = values
        return torch.tanh(self.to_grey(values))


class RedrawingCritic(ConvCritic):
    """A critic whose 8x8 map must also reconstruct real images at 32 px, which regularises its features."""

    def __init__(self, image_px: int, *, width: int, num_classes: int, spectral: bool, weight: float) -> None:
        super().__init__(image_px, width=width, num_classes=num_classes, spectral=spectral)
        self.weight = weight
        layers: list[nn.Module] = []
        channels = channels_at(REDRAWN_FROM, image_px, width)
        for _ in range((REDRAWN_PX // REDRAWN_FROM).bit_length() - 1):
            layers += [UpConv(channels, width), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.redraw = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1), nn.Tanh())

    def judge(self, images: Tensor, labels: Tensor, num_real: int) -> tuple[Tensor, Tensor]:
        """Scores [N] and the mean absolute error of the redrawn real images, times its weight."""
        values, kept = images, images
        for conv in self.convs:
            values = F.leaky_relu(conv(values), SLOPE)
            kept = values if values.shape[-1] == REDRAWN_FROM else kept
        target = F.adaptive_avg_pool2d(images[:num_real], REDRAWN_PX)
        error = F.l1_loss(self.redraw(kept[:num_real]).float(), target.float())
        return self.score_features(values, labels), self.weight * error
