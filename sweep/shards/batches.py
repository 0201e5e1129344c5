"""Images and labels -> batches: one order of an epoch, gathered from memory or streamed from the shards.

Memory: one gather per batch from one uint8 tensor, no loader process. Shards: Ray Data tasks (`stream.stream`), or one thread where
no Ray runs (`read_ahead.read_ahead`), read and decode ahead, and no more than a few thousand images exist at a time. The same seed
gives the same batches either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import LazyImages

if TYPE_CHECKING:
    import torch

# Sets up to the first size are shuffled whole. Larger ones are cut into runs of neighbours, the runs are shuffled, and
# the images of as many runs as fill a window are shuffled among each other: a window is read from few row groups.
_SHUFFLED_WHOLE = 16_384
_RUN, WINDOW = 256, 4096
_EPOCHS_AHEAD = (
    8  # of one stream: planning it costs a millisecond for each of its tasks, and their positions have to fit in memory
)

_SHARE_OF_GPU = 0.25  # of the free memory, for the images of one training set

Batch = tuple["torch.Tensor", "torch.Tensor"]


class Batches:
    """Shuffled batches of an ImageSet; calling it with an epoch number gives that epoch's batches.

    Every epoch has `steps_per_epoch` full batches (default: what one pass fills, at least one). Asked for more,
    it goes round again, reshuffled. With `balanced`, every class is drawn equally often, rare ones more than
    once (of several findings an image: those with each finding in turn, and those with none). The order depends on
    (seed, epoch) and the number of images alone, so resuming at an epoch is exact. `share` (k, n) takes the k-th of n
    equal shares of every batch: n workers together see what one would.
    """

    def __init__(
        self,
        image_set: ImageSet,
        batch_size: int,
        *,
        seed: int,
        steps_per_epoch: int | None = None,
        balanced: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if not len(image_set):
            raise InputError("training data", "the training fold is empty", "give it images or a larger fraction")
        if batch_size < 1 or (steps_per_epoch is not None and steps_per_epoch < 1):
            raise InputError("batch_size, steps_per_epoch", f"{batch_size}, {steps_per_epoch}", "give 1 or more")
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch or max(1, len(image_set) // batch_size)
        self._count = len(image_set)
        self._seed, self._share = seed, share
        self._classes = _members(image_set.labels) if balanced else None

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Pairs of images uint8 [B, H, W] and their labels [B] or [B, K]."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop reading ahead; a later call starts again."""

    def order(self, epoch: int) -> np.ndarray:
        """int64 [steps_per_epoch * batch_size]: the positions visited in this epoch, by all workers together."""
        draw = rng(self._seed, "batches", epoch)
        wanted = self.steps_per_epoch * self.batch_size
        if self._classes is None:
            return _rounds(draw, np.arange(self._count), wanted)
        each = -(-wanted // len(self._classes))
        turns = np.stack([_rounds(draw, members, each) for members in self._classes], axis=1)
        # One of each class in turn, the turn's order shuffled: every batch is balanced to within one image.
        return draw.permuted(turns, axis=1).reshape(-1)[:wanted]

    def shared_order(self, epoch: int) -> np.ndarray:
        """int64 [steps_per_epoch, b]: this worker's share of every batch of the epoch."""
        place, shares = self._share
        return self.order(epoch).reshape(self.steps_per_epoch, self.batch_size)[:, place::shares]


class ResidentBatches(Batches):
    """Batches from images in memory; `device` is where the uint8 images are kept, uncopied if that is the CPU."""

    def __init__(self, image_set: ImageSet, batch_size: int, *, device: str = "cpu", **settings: Any) -> None:
        super().__init__(image_set, batch_size, **settings)
        if isinstance(image_set.images, LazyImages):
            raise ValueError("images that stay in their shards need StreamedBatches")
        self._images = _tensor(image_set.images).to(device)
        self._labels = _tensor(image_set.labels).to(device)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Pairs of images uint8 [B, H, W] and their labels [B] or [B, K]."""
        import torch

        for chosen in torch.from_numpy(self.shared_order(epoch)).to(self._images.device):
            yield self._images.index_select(0, chosen), self._labels.index_select(0, chosen)


class StreamedBatches(Batches):
    """The same batches from images that stay in their shards.

    One stream runs on from epoch to epoch, because starting one takes half a second; leaving an epoch early, or asking for
    another than the next, starts a new one.
    """

    def __init__(self, image_set: ImageSet, batch_size: int, **settings: Any) -> None:
        super().__init__(image_set, batch_size, **settings)
        images: Any = image_set.images
        if not isinstance(images, LazyImages):
            raise ValueError("images in memory need ResidentBatches")
        self._images: Any = images
        self._labels = _tensor(image_set.labels)
        self._running: Generator[torch.Tensor, None, None] | None = None
        # Epochs: the one that the running stream comes to next, and the first one that it does not hold.
        self._next = self._end = 0

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Pairs of images uint8 [B, H, W] and their labels [B] or [B, K]; reading ends when the iterator is closed early, or by `close`."""
        import torch

        running = self._running
        if running is None or epoch != self._next or epoch >= self._end:
            running = self._start(epoch)
        self._running, held = None, True
        order = torch.from_numpy(self.shared_order(epoch))
        try:
            for step, chosen in enumerate(order, start=1):
                images = next(running)
                if step == len(order):  # before the last batch is yielded: the caller need not ask for one more
                    self._running, self._next, held = running, epoch + 1, False
                yield images, self._labels.index_select(0, chosen)
        finally:
            if held:
                running.close()

    def close(self) -> None:
        """End what is read ahead."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def _start(self, epoch: int) -> Generator[torch.Tensor, None, None]:
        """A stream that begins with this epoch."""
        from sweep.shards.read_ahead import ray_is_running, read_ahead
        from sweep.shards.stream import stream

        self.close()
        self._next, self._end = epoch, epoch + _EPOCHS_AHEAD
        orders = [self.shared_order(number) for number in range(epoch, self._end)]
        window = max(1, WINDOW // self._share[1])  # of the whole order, as far as this worker reads it
        source = stream if ray_is_running() else read_ahead
        return source(self._images, [order.reshape(-1) for order in orders], orders[0].shape[1], window)


def batches_of(image_set: ImageSet, batch_size: int, *, device: str = "cpu", **settings: Any) -> Batches:
    """Resident batches of images in memory, streamed ones of images in shards; `settings` are those of `Batches`.

    On a GPU `device` the images in memory are copied there once where they take at most a quarter of its free memory.
    """
    if isinstance(image_set.images, LazyImages):
        return StreamedBatches(image_set, batch_size, **settings)
    return ResidentBatches(image_set, batch_size, device=_place(image_set, device), **settings)


def _place(image_set: ImageSet, device: str) -> str:
    """`device` where the images have room on it, else the CPU."""
    if device == "cpu":
        return device
    import torch

    free, _ = torch.cuda.mem_get_info(torch.device(device))
    return device if image_set.images.nbytes <= free * _SHARE_OF_GPU else "cpu"


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
    return np.concatenate([_shuffled(draw, members) for _ in range(passes)])[:wanted]


def _shuffled(draw: np.random.Generator, members: np.ndarray) -> np.ndarray:
    """One pass over `members`, which stand in the order of the shards."""
    if len(members) <= _SHUFFLED_WHOLE:
        return draw.permutation(members)
    runs = [members[start : start + _RUN] for start in range(0, len(members), _RUN)]
    mixed = np.concatenate([runs[number] for number in draw.permutation(len(runs))])
    windows = [mixed[start : start + WINDOW] for start in range(0, len(mixed), WINDOW)]
    return np.concatenate([draw.permutation(window) for window in windows])


def _tensor(values: np.ndarray) -> torch.Tensor:
    """The same memory as a tensor; arrays out of the object store are read-only, and nothing here writes."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(values))
