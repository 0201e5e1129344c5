"""Batches of images that stay in their shards, where no Ray runs: one thread reads and decodes ahead of the training loop."""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from sweep.shards.lazy import Images

if TYPE_CHECKING:
    import torch

_PIECES_AHEAD = 2  # windows held beside the one in use


def ray_is_running() -> bool:
    """Whether this process is connected to Ray; never imports it."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def read_ahead(
    images: Images, orders: Sequence[np.ndarray], batch_size: int, window: int
) -> Generator[torch.Tensor, None, None]:
    """The batches of `sweep.shards.stream.stream`, uint8 [batch_size, px, px] on the CPU, read by a thread of this process.

    `orders`: positions int64 [n] of each epoch, n a multiple of `batch_size`. At most three windows of images are in memory.
    """
    import torch

    size = max(1, window // batch_size) * batch_size
    pieces = iter([order[start : start + size] for order in orders for start in range(0, len(order), size)])
    own = copy.deepcopy(images)  # the caller may index the original meanwhile
    coming: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        try:
            while True:
                while len(coming) < _PIECES_AHEAD and (piece := next(pieces, None)) is not None:
                    coming.append(reader.submit(own.__getitem__, piece))
                if not coming:
                    return
                block = torch.from_numpy(coming.popleft().result())
                yield from block.split(batch_size)
        finally:
            for future in coming:
                future.cancel()
