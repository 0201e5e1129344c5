"""What a training loop calls while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingHooks:
    """Each of them may be left out."""

    on_epoch: Callable[[dict[str, Any]], None] | None = None  # the epoch's metrics, after its state is saved
    save_state: Callable[[bytes], None] | None = (
        None  # after each epoch: the bytes from which training continues exactly
    )
    interrupted: Callable[[], bool] | None = None  # asked after every step; yes raises Interrupted with the state
    reduce: Callable[[Mapping[str, float]], dict[str, float]] | None = None  # averages metrics over workers
    state_due: Callable[[], bool] | None = None  # asked after each epoch, before those bytes are made; None: always
    settle_state: Callable[[], None] | None = (
        None  # called when training ends in any way: waits for states that are still being written
    )
