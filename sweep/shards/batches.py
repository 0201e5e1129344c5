"""Images in memory -> batches, without a loader process: one gather per batch from one uint8 tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.shards.image_set import ImageSet

if TYPE_CHECKING:
    import torch


class ResidentBatches:
    """Shuffled batches of an ImageSet; calling it with an epoch number gives that epoch's batches.

    Every epoch has `steps_per_epoch` full batches (default: what one pass fills, at least one). Asked for more,
    it goes round again, reshuffled. With `balanced`, every class is drawn equally often, rare ones more than
    once (of several findings an image: those with each finding in turn, and those with none). The order depends on (seed, epoch) and the number of images alone, so resuming at an epoch is exact.
    `device` is where the uint8 images are kept. `share` (k, n) takes the k-th of n equal shares of every batch: n workers
    together see what one would.
    """

    def __init__(
        self,
        image_set: ImageSet,
        batch_size: int,
        *,
        seed: int,
        steps_per_epoch: int | None = None,
        balanced: bool = False,
        device: str = "cpu",
        share: tuple[int, int] = (0, 1),
    ) -> None:
        import torch

        if not len(image_set):
            raise InputError("training data", "the training fold is empty", "give it images or a larger fraction")
        if batch_size < 1 or (steps_per_epoch is not None and steps_per_epoch < 1):
            raise InputError("batch_size, steps_per_epoch", f"{batch_size}, {steps_per_epoch}", "give 1 or more")
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch or max(1, len(image_set) // batch_size)
        self._seed = seed
        self._share = share
        self._balanced = balanced
        self._classes = _members(image_set.labels)
        self._images = torch.from_numpy(np.array(image_set.images)).to(device)
        self._labels = torch.from_numpy(np.array(image_set.labels)).to(device)

    def __call__(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pairs of images uint8 [B, H, W] and labels int64 [B], or float32 [B, K]."""
        import torch

        order = torch.from_numpy(self.order(epoch)).to(self._images.device)
        place, shares = self._share
        for batch in order.split(self.batch_size):
            chosen = batch[place::shares]
            yield self._images.index_select(0, chosen), self._labels.index_select(0, chosen)

    def order(self, epoch: int) -> np.ndarray:
        """int64 [steps_per_epoch * batch_size]: the positions visited in this epoch."""
        draw = rng(self._seed, "batches", epoch)
        wanted = self.steps_per_epoch * self.batch_size
        if not self._balanced:
            return _rounds(draw, np.arange(len(self._labels)), wanted)
        each = -(-wanted // len(self._classes))
        turns = np.stack([_rounds(draw, members, each) for members in self._classes], axis=1)
        # One of each class in turn, the turn's order shuffled: every batch is balanced to within one image.
        return draw.permuted(turns, axis=1).reshape(-1)[:wanted]


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """Positions of each class's images, classes without any left out."""
    if labels.ndim == 1:
        return [np.flatnonzero(labels == label) for label in np.unique(labels)]
    present = labels == 1
    members = [np.flatnonzero(column) for column in (*present.T, ~present.any(axis=1))]
    return [positions for positions in members if len(positions)]


def _rounds(draw: np.random.Generator, members: np.ndarray, wanted: int) -> np.ndarray:
    """`wanted` positions: whole shuffled passes over `members`, the last one cut short."""
    passes = -(-wanted // len(members))
    return np.concatenate([draw.permutation(members) for _ in range(passes)])[:wanted]
