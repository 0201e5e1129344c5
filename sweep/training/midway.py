"""In the middle of an epoch: what a run needs beside weights and optimiser to go on with the very next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


class Interrupted(Exception):
    """The run was told to stop where it stands; `state` continues it there, as `fit`'s `state`."""

    def __init__(self, state: bytes) -> None:
        self.state = state
        super().__init__("stopped between two steps; its state is kept")


@dataclass
class Midway:
    """Batches of the present epoch that are done, the losses of their updates, the random draws so far, and free training's perturbation.

    Draws are one worker's own: of several workers each draws anew after a resume, which is as good and not the same.
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
        """What `state` wrote; None for a run that stands between two epochs."""
        return None if state is None else cls(**state)


def draws_so_far(generator: torch.Generator, device: torch.device) -> dict[str, torch.Tensor]:
    """Where the random generators of an epoch stand."""
    states = {"torch": torch.get_rng_state(), "augment": generator.get_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def go_on_drawing(draws: dict[str, torch.Tensor], generator: torch.Generator, device: torch.device) -> None:
    """Put the generators back to where they stood."""
    torch.set_rng_state(draws["torch"])
    generator.set_state(draws["augment"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(draws["cuda"], device)
