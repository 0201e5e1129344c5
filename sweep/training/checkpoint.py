"""State of a half-finished run for an exact resume, as bytes without pickled code."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass, field
from typing import Any

import torch

from sweep.core.errors import InputError
from sweep.core.hashing import content_hash
from sweep.core.hyperparameter import FIRST
from sweep.training.ema import Weights, on_cpu
from sweep.training.recipe import RECIPE_ROWS, Recipe

_FORMAT = 1


@dataclass
class Progress:
    """Progress of a run after its last whole epoch."""

    epoch: int = 0  # epochs done, over all phases
    phase: int = 0  # phases done
    phase_epoch: int = 0  # epochs done of the current phase
    stale: int = 0  # epochs since the best one
    best_epoch: int = 0
    best_score: list[float] | None = None
    best_weights: Weights | None = None
    steps: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def next_phase(self) -> None:
        """Start the next phase, which selects its own best epoch."""
        self.phase += 1
        self.phase_epoch = self.stale = 0
        self.best_score = None


@dataclass
class Snapshot:
    """The progress of a run with the state of its model and optimiser."""

    progress: Progress
    model: dict[str, Any]
    optimizer: dict[str, Any]
    extras: dict[str, Any]  # averaged weights and other state that some recipes have

    def to_bytes(self, recipe: Recipe, seed: int) -> bytes:
        """Serialise for `from_bytes` of the same recipe and seed."""
        progress = {item.name: getattr(self.progress, item.name) for item in dataclasses.fields(Progress)}
        if self.progress.best_weights is not None:
            progress["best_weights"] = on_cpu(self.progress.best_weights)
        content = {"format": _FORMAT, "identity": _identity(recipe, seed), "progress": progress}
        stream = io.BytesIO()
        torch.save(content | {"model": self.model, "optimizer": self.optimizer, "extras": self.extras}, stream)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, recipe: Recipe, seed: int) -> Snapshot:
        """Read a snapshot; only tensors and plain values are accepted.

        Raises InputError when the bytes are no snapshot, or one of another recipe or seed.
        """
        try:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            identity, progress = content["identity"], Progress(**content["progress"])
        except Exception as cause:  # torch.load raises a dozen kinds for damaged bytes
            raise InputError(
                "checkpoint", f"cannot be read ({type(cause).__name__})", "delete it and start the trial again"
            ) from cause
        if content["format"] != _FORMAT or identity != _identity(recipe, seed):
            raise InputError(
                "checkpoint", "belongs to another recipe or seed", "resume with the settings it was written with"
            )
        return cls(progress, content["model"], content["optimizer"], content["extras"])


def _identity(recipe: Recipe, seed: int) -> str:
    """Settings introduced later are left out where they do what versions without them did, or have no effect."""
    settings = dataclasses.asdict(recipe)
    for row in RECIPE_ROWS:
        value = settings[row.name]
        if row.since != FIRST and (value == row.introduced_with or not row.active(settings)):
            del settings[row.name]
    return content_hash({"recipe": settings, "seed": seed})
