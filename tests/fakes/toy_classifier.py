"""A three-part classifier small enough to train in a blink, and two classes that brightness tells apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn


class ToyClassifier(nn.Module):
    """Colorizer, backbone with batch norm and dropout, head: the parts a real classifier has."""

    def __init__(self, classes: int = 2, learned: bool = True, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.colorizer = nn.Conv2d(1, 3, 3, padding=1) if learned else Replicate()
            self.backbone = nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
            )
            self.head = nn.Linear(32, classes)

    def colorize(self, images: torch.Tensor) -> torch.Tensor:
        return self.colorizer(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(self.colorize(images)))


class Replicate(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.expand(-1, 3, -1, -1)


def toy_images(count: int, px: int = 16, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, px, px] and int64 labels [count]; class k has a bright spot of its own place and much noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.normal(90, 35, (count, px, px))
    for index, label in enumerate(labels):
        side = px // classes
        images[index, :, label * side : (label + 1) * side] += 45
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)


class ToyBatches:
    """Shuffled uint8 batches, the same for the same (seed, epoch)."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int = 8, seed: int = 0) -> None:
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.batch_size, self.seed = batch_size, seed
        self.steps_per_epoch = len(images) // batch_size

    def __call__(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        for step in range(self.steps_per_epoch):
            chosen = torch.from_numpy(order[step * self.batch_size : (step + 1) * self.batch_size])
            yield self.images[chosen], self.labels[chosen]
