"""What is seen of a generator while it trains: losses, KID, sample grids; and the reasons to stop it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweep.core.errors import Diverged

OnStep = Callable[[int, dict[str, Any]], None]
Draw = Callable[[nn.Module, int, int], np.ndarray]  # network, label, count -> uint8 [count, px, px]

LOG_EVERY_STEPS = 10
CHECKED_IMAGES = 64  # samples of each class drawn at a check
GRID_COLUMNS = 8
LEAST_VARIATION = 0.05  # of the real images' variation; below it all samples look alike


class Collapsed(Exception):
    """A generator gives nearly the same image every time: trials that need it stop here, with the reason."""

    def __init__(self, stage: str, step: int, variation: float) -> None:
        self.stage, self.step, self.variation = stage, step, variation
        super().__init__(
            f"{stage}: at step {step} the samples vary {variation:.1%} as much as the real images; "
            "lower the learning rates, choose another generator or give it more images"
        )

    def __reduce__(self):
        return type(self), (self.stage, self.step, self.variation)


class Watch:
    """Follows one training run: `losses` at every step, `check` at every step, `chosen` at the end."""

    def __init__(
        self, stage: str, real: Mapping[int, np.ndarray], draw: Draw, settings: Mapping[str, Any], on_step: OnStep | None
    ) -> None:
        self.stage, self.real, self.draw, self.settings = stage, real, draw, settings
        self.on_step = on_step or (lambda step, facts: None)
        self.pending: list[dict[str, Tensor]] = []
        self.last_facts: dict[str, Any] = {}
        self.started = time.perf_counter()

    def losses(self, step: int, facts: dict[str, Tensor]) -> None:
        """Collect this step's losses; every tenth step report their means.

        Raises Diverged when one is not finite. Losses are read in tens because reading one waits for the device.
        """
        self.pending.append(facts)
        if step % LOG_EVERY_STEPS and step != self.settings["steps"]:
            return
        means = {name: float(torch.stack([facts[name] for facts in self.pending]).mean()) for name in facts}
        for value in means.values():
            if not math.isfinite(value):
                raise Diverged(self.stage, step, value)
        self.pending.clear()
        self.on_step(step, {**means, "seconds": time.perf_counter() - self.started})

    def check(self, step: int, network: nn.Module) -> bool:
        """Whether to stop here. Draws samples every `check_every` steps and at the last one.

        Raises Collapsed when the samples of a class hardly vary; in the first half of the run that is not yet held
        against it.
        """
        last, every = step == self.settings["steps"], self.settings["check_every"]
        if not last and not (every and step % every == 0):
            return False
        samples = {label: self.draw(network, label, CHECKED_IMAGES) for label in self.real}
        lowest = min(relative_variation(samples[label], self.real[label]) for label in self.real)
        self.last_facts = {"step": step, "variation": lowest}
        if lowest < LEAST_VARIATION and 2 * step >= self.settings["steps"]:
            raise Collapsed(self.stage, step, lowest)
        self.on_step(step, {**self.last_facts, "grid": sample_grid(samples)})
        return False

    def chosen(self, network: nn.Module) -> nn.Module:
        """The network to keep."""
        return network

    def summary(self) -> dict[str, Any]:
        """What is kept with the generator: the step it stopped at, its variation, seconds of training."""
        return {**self.last_facts, "seconds": round(time.perf_counter() - self.started, 3)}


def relative_variation(samples: np.ndarray, real: np.ndarray) -> float:
    """Standard deviation between samples over that between real images, both seen at 8x8 so that noise does not count."""
    return float(_thumbnails(samples).std(0).mean() / max(_thumbnails(real).std(0).mean(), 1e-6))


def sample_grid(samples: Mapping[int, np.ndarray], columns: int = GRID_COLUMNS, rows: int = 1) -> np.ndarray:
    """One uint8 picture: `rows` rows of `columns` samples for each class, classes from top to bottom."""
    strips = []
    for images in samples.values():
        for row in range(rows):
            strips.append(np.hstack(list(images[row * columns : (row + 1) * columns])))
    return np.vstack(strips)


def _thumbnails(images: np.ndarray, side: int = 8) -> np.ndarray:
    share = images.shape[1] // side
    return images.reshape(len(images), side, share, side, share).mean((2, 4), dtype=np.float32)
