"""Training images as one uint8 tensor on the device, in endless shuffled batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Feed:
    """Endless batches (images [B, 1, px, px] in [-1, 1], labels [B]); every image once a round, reshuffled each round.

    No worker processes and no decoding: a batch is one gather and one conversion.
    """

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, generator: torch.Generator, flip: bool) -> None:
        self.images, self.labels, self.generator, self.flip = images.unsqueeze(1), labels, generator, flip
        self.batch_size = batch_size
        self.waiting = torch.empty(0, dtype=torch.long, device=images.device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        while len(self.waiting) < self.batch_size:
            order = torch.randperm(len(self.images), generator=self.generator, device=self.images.device)
            self.waiting = torch.cat([self.waiting, order])
        chosen, self.waiting = self.waiting[: self.batch_size], self.waiting[self.batch_size :]
        return self._flipped(to_signed(self.images[chosen])), self.labels[chosen]

    def _flipped(self, images: Tensor) -> Tensor:
        if not self.flip:
            return images
        turn = torch.rand((len(images), 1, 1, 1), generator=self.generator, device=images.device) < 0.5
        return torch.where(turn, images.flip(3), images)


def to_signed(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [-1, 1], channels last."""
    return pixels.to(torch.float32, memory_format=torch.channels_last).mul_(2 / 255).sub_(1)


def to_pixels(signed: Tensor) -> Tensor:
    """[-1, 1] -> uint8 [0, 255], rounded; values outside are clipped."""
    return signed.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
