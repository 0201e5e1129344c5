"""State in the middle of an epoch, besides weights and optimiser, from which the next step continues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


class Interrupted(Exception):
    """The run was asked to stop between two steps; `state` continues it there, as `fit`'s `state`."""

    def __init__(self, state: bytes) -> None:
        self.state = state
        super().__init__("stopped between two steps; its state is kept")


@dataclass
class Midway:
    """Batches done of the current epoch, the losses of their updates, the states of the random generators, and free training's perturbation.

    Generator states are those of one worker; with several workers each draws from a new state after a resume.
    """

    batches: int
    losses: torch.Tensor
    draws: dict[str, torch.Tensor]
    carried: torch.Tensor | None = None

    def state(self) -> dict[str, Any]:
        """As plain values and tensors."""
        return {"batches": self.batches, "losses": self.losses.cpu(), "draws": self.draws, "carried": self.carried}

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> Midway | None:
        """The inverse of `state`; None for a run between two epochs."""
        return None if state is None else cls(**state)


def draws_so_far(generator: torch.Generator, device: torch.device) -> dict[str, torch.Tensor]:
    """States of the random generators of an epoch."""
    states = {"torch": torch.get_rng_state(), "augment": generator.get_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def go_on_drawing(draws: dict[str, torch.Tensor], generator: torch.Generator, device: torch.device) -> None:
    """Restore the states of the random generators."""
    torch.set_rng_state(draws["torch"])
    generator.set_state(draws["augment"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(draws["cuda"], device)
