"""Monitoring of a generator in training: losses, KID, sample grids, and the criteria that stop it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweep.core.counts import percent
from sweep.core.errors import Diverged
from sweep.synth.descriptors import feature_net
from sweep.synth.quality import kid
from sweep.synth.settings import check_square

OnStep = Callable[[int, dict[str, Any]], None]
Draw = Callable[[nn.Module, int, int], np.ndarray]  # network, label, count -> uint8 [count, px, px]

LOG_EVERY_STEPS = 10
CHECKED_IMAGES = 64  # samples of each class drawn at a check
REFERENCE_IMAGES = 512  # training images of each class that a check compares with, at most
FEWEST_FOR_KID = 8
GRID_COLUMNS = 8
JUDGED_FROM_STEP = 100
LEAST_VARIATION = 0.05  # of the real images' variation; below it all samples look alike


class Collapsed(Exception):
    """The samples of a generator are useless: nearly all alike, or nearly all copies; trials that need them fail with the reason."""

    def __init__(self, stage: str, problem: str, fix: str) -> None:
        self.stage, self.problem, self.fix = stage, problem, fix
        super().__init__(f"{stage}: {problem}; {fix}")

    def __reduce__(self) -> tuple[type[Collapsed], tuple[str, str, str]]:
        return type(self), (self.stage, self.problem, self.fix)


class Watch:
    """Follows one training run: `losses` and `check` at every step, `chosen` at the end.

    `real` holds the training images of each class; `draw` samples a network. With `patience`, a run stops after that
    many checks without a lower KID and the best network so far is kept.
    """

    def __init__(
        self,
        stage: str,
        real: Mapping[int, np.ndarray],
        draw: Draw,
        settings: Mapping[str, Any],
        on_step: OnStep | None,
    ) -> None:
        self.stage, self.real, self.draw, self.settings = stage, real, draw, settings
        self.on_step = on_step or (lambda step, facts: None)
        self.net = feature_net(settings["feature_net"])
        self.reference: dict[int, np.ndarray] = {}  # features of the real images, computed at the first check
        self.pending: list[dict[str, Tensor]] = []
        self.checks: list[dict[str, float]] = []
        self.best: tuple[float, nn.Module] | None = None
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
        self.on_step(step, {**means, "seconds": self._seconds()})

    def check(self, step: int, network: nn.Module) -> bool:
        """Whether to stop here. Draws samples every `check_every` steps and at the last one.

        Raises Collapsed when the samples of a class hardly vary, except in the first half of a run and in runs of a few steps:
        an untrained generator has no variation yet.
        """
        last, every = step == self.settings["steps"], self.settings["check_every"]
        if not last and not (every and step % every == 0):
            return False
        samples = {label: self.draw(network, label, CHECKED_IMAGES) for label in self.real}
        facts = {"variation": min(relative_variation(samples[label], self.real[label]) for label in self.real)}
        if facts["variation"] < LEAST_VARIATION and step >= max(JUDGED_FROM_STEP, self.settings["steps"] / 2):
            raise Collapsed(
                self.stage,
                f"at step {step} the samples vary {percent(facts['variation'], 1)} as much as the real images",
                "lower the learning rates, choose another generator or give it more images",
            )
        if every:
            facts |= self._distance(samples)
        self.checks.append({"step": step, **facts})
        self.on_step(step, {**facts, "seconds": self._seconds(), "grid": sample_grid(samples)})
        return self._stalled(facts.get(self._kid), network)

    def chosen(self, network: nn.Module) -> nn.Module:
        """The network to keep: the best by KID when a patience was set, else the last."""
        return self.best[1] if self.best else network

    def summary(self) -> dict[str, Any]:
        """What is kept with the generator: every check's figures and the seconds of training."""
        return {"checks": self.checks, "seconds": self._seconds()}

    @property
    def _kid(self) -> str:
        return f"kid/{self.net.name}"

    def _distance(self, samples: Mapping[int, np.ndarray]) -> dict[str, float]:
        """KID of each class against its training images, averaged over the classes that have enough of them."""
        for label, real in self.real.items():
            if len(real) >= FEWEST_FOR_KID and label not in self.reference:
                self.reference[label] = self.net.compute(real[:REFERENCE_IMAGES])
        estimates = []
        for label, reference in self.reference.items():
            real, drawn = self.net.on_one_scale(reference, self.net.compute(samples[label]))
            estimates.append(kid(real, drawn))
        if not estimates:
            return {}
        value, low, high = np.mean([(part.value, part.low, part.high) for part in estimates], axis=0).tolist()
        return {self._kid: value, f"kid_low/{self.net.name}": low, f"kid_high/{self.net.name}": high}

    def _stalled(self, distance: float | None, network: nn.Module) -> bool:
        patience = self.settings["patience"]
        if not patience or distance is None:
            return False
        if self.best is None or distance < self.best[0]:
            self.best = distance, copy.deepcopy(network)
        values = [check[self._kid] for check in self.checks]
        return len(values) - 1 - int(np.argmin(values)) >= patience

    def _seconds(self) -> float:
        return round(time.perf_counter() - self.started, 3)


def relative_variation(samples: np.ndarray, real: np.ndarray) -> float:
    """Standard deviation between samples over that between real images, both at 8x8 so that noise does not count."""
    return float(_thumbnails(samples).std(0).mean() / max(_thumbnails(real).std(0).mean(), 1e-6))


def sample_grid(samples: Mapping[int, np.ndarray], columns: int = GRID_COLUMNS, rows: int = 1) -> np.ndarray:
    """One uint8 picture: `rows` rows of `columns` samples for each class, classes from top to bottom."""
    strips = []
    for images in samples.values():
        for row in range(rows):
            strips.append(np.hstack(list(images[row * columns : (row + 1) * columns])))
    return np.vstack(strips)


def _thumbnails(images: np.ndarray, side: int = 8) -> np.ndarray:
    check_square(images, "variation of samples", side)
    share = images.shape[1] // side
    return images.reshape(len(images), side, share, side, share).mean((2, 4), dtype=np.float32)
