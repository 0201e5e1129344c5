"""The convolutional generator and critic of `wgan`, `wgan_diffaug` and `cgan`.

A generator takes latents, as many as its `latent_shapes` says, and labels [N]; it returns images [N, 1, px, px] in
[-1, 1]. A critic's `judge` returns scores [N] and a loss of its own, which is zero here.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweep.synth.layers import SMALLEST_MAP, Noise, SpectralNorm, UpConv, channels_at, sizes_up

SLOPE = 0.2  # of the critic's leaky ReLU


class ConvGenerator(nn.Module):
    """Linear layer to a 4x4 map, then doubling + 3x3 convolution + batch norm + ReLU until the image size, then tanh.

    With several classes a learnt vector of the class is added to the latent. `noise` adds filtered noise at the end.
    """

    def __init__(self, image_px: int, *, width: int, latent: int, num_classes: int = 1, noise: bool = False) -> None:
        super().__init__()
        self.latent_shapes = ((latent,), (1, image_px, image_px)) if noise else ((latent,),)
        self.class_vector = nn.Embedding(num_classes, latent) if num_classes > 1 else None
        widths = [channels_at(size, image_px, width) for size in (SMALLEST_MAP, *sizes_up(image_px))]
        self.stem = nn.Linear(latent, widths[0] * SMALLEST_MAP**2)
        self.ups = nn.ModuleList(UpConv(below, here) for below, here in itertools.pairwise(widths))
        self.noise = Noise(width) if noise else None
        self.norms = nn.ModuleList(nn.BatchNorm2d(here) for here in widths)
        self.to_grey = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, latents: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        code = latents[0] if self.class_vector is None else latents[0] + self.class_vector(labels)
        values = self.stem(code).view(len(code), -1, SMALLEST_MAP, SMALLEST_MAP)
        values = F.relu_(self.norms[0](values.contiguous(memory_format=torch.channels_last)))
        for up, norm in zip(self.ups, self.norms[1:], strict=False):
            values = up(values)
            if self.noise is not None and up is self.ups[-1]:
                values = self.noise(values, latents[1])
            values = F.relu_(norm(values))
        return torch.tanh(self.to_grey(values))


class ConvCritic(nn.Module):
    """4x4 convolutions of stride 2 with leaky ReLU down to a 4x4 map, then one linear score; no batch norm.

    With several classes a projection adds the match between image and class (Miyato & Koyama 2018).
    """

    def __init__(self, image_px: int, *, width: int, num_classes: int = 1, spectral: bool = True) -> None:
        super().__init__()
        sizes = sizes_up(image_px)[::-1]
        widths = [1, *(channels_at(size // 2, image_px, width) for size in sizes)]
        self.convs = nn.ModuleList(
            SpectralNorm(nn.Conv2d(a, b, 4, stride=2, padding=1), spectral) for a, b in itertools.pairwise(widths)
        )
        self.score = SpectralNorm(nn.Linear(widths[-1] * SMALLEST_MAP**2, 1), spectral)
        self.match = SpectralNorm(nn.Linear(num_classes, widths[-1], bias=False), spectral) if num_classes > 1 else None
        self.num_classes = num_classes

    def features(self, images: Tensor) -> Tensor:
        """The 4x4 map [N, C, 4, 4] that the score reads."""
        for conv in self.convs:
            images = F.leaky_relu_(conv(images), SLOPE)
        return images

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.score_features(self.features(images), labels)

    def score_features(self, deep: Tensor, labels: Tensor) -> Tensor:
        """Scores [N] of 4x4 maps, in float32: bfloat16 would round away their small differences."""
        with torch.autocast(deep.device.type, enabled=False):
            deep = deep.float()
            scores = self.score(deep.flatten(1)).squeeze(1)
            if self.match is None:
                return scores
            chosen = self.match(F.one_hot(labels, self.num_classes).float())
            return scores + (chosen * deep.mean((2, 3))).sum(1)

    def judge(self, images: Tensor, labels: Tensor, num_real: int) -> tuple[Tensor, Tensor]:
        """Scores [N] of a batch whose first `num_real` images are real, and the critic's additional loss."""
        scores = self(images, labels)
        return scores, scores.new_zeros(())
