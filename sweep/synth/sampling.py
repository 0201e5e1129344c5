"""Index -> image: every synthetic image has its own noise, so pools can grow, be split and be made again.

Images are computed in whole blocks at fixed places, because a network's last bits may depend on the batch it works on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sweep.core.seeds import named_seed
from sweep.synth.feed import to_pixels

BLOCK_IMAGES = 32

Generate = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]  # network, latents, labels -> [N, 1, H, W]


def latent_shapes(network: nn.Module) -> tuple[tuple[int, ...], ...]:
    """Shapes of one image's latents, as the network declares them."""
    return cast("tuple[tuple[int, ...], ...]", network.latent_shapes)


def index_latents(network: nn.Module, seed: int, label: int, indices: range) -> tuple[Tensor, ...]:
    """The latents of the images `indices`: one random stream for each (seed, label, index)."""
    streams = [torch.Generator().manual_seed(named_seed(seed, "synthetic", label, index)) for index in indices]
    shapes = latent_shapes(network)
    rows = [[torch.randn(shape, generator=stream) for shape in shapes] for stream in streams]
    return tuple(torch.stack(column) for column in zip(*rows, strict=False))


def stream_images(
    network: nn.Module, generate: Generate, count: int, *, seed: int, label: int, start: int = 0
) -> Iterator[np.ndarray]:
    """Images `start` to `start + count` as uint8 blocks [<=32, px, px]; one block is in memory at a time."""
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    first = start - start % BLOCK_IMAGES
    try:
        for block in range(first, start + count, BLOCK_IMAGES):
            latents = index_latents(network, seed, label, range(block, block + BLOCK_IMAGES))
            labels = torch.full((BLOCK_IMAGES,), label, device=device)
            with torch.inference_mode():
                images = generate(network, tuple(part.to(device) for part in latents), labels)
            yield to_pixels(images).squeeze(1).cpu().numpy()[max(0, start - block) : start + count - block]
    finally:
        network.train(was_training)
