"""Random starts drawn per image, independent of batching."""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.attacks import norms
from sweep.core.seeds import named_seed


class Draws:
    """Unit noise for one chunk of images and one threat, drawn once per restart and scaled by every epsilon.

    The global generator is not used. `generator` overrides the named seed, for comparison with another implementation.
    """

    def __init__(self, images: Tensor, seed: int, *names: str | int, generator: torch.Generator | None = None) -> None:
        self._images, self._seed, self._names, self._given = images, seed, names, generator
        self._key: tuple[str, int] | None = None
        self._unit: Tensor | None = None

    def generator(self, *names: str | int) -> torch.Generator:
        """A separate CPU generator for a named purpose."""
        return self._given or torch.Generator().manual_seed(self.seed_of(*names))

    def seed_of(self, *names: str | int) -> int:
        """The seed of `generator`, for code that seeds its own generators."""
        return named_seed(self._seed, *self._names, *names)

    def unit(self, norm: str, restart: int) -> Tensor:
        """One point of the unit ball per image of the chunk [N, C, H, W]; the last restart drawn is cached."""
        if self._unit is None or self._key != (norm, restart):
            self._unit = norms.random_unit(norm, self._images, self.generator("start", restart))
            self._key = (norm, restart)
        return self._unit
