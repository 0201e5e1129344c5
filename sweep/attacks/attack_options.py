"""Options of a robustness evaluation that are neither the threats nor the epsilons."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.core.capture import Recorder


@dataclass(frozen=True)
class AttackOptions:
    """How `epsilon_sweep` runs.

    `seed` determines every random start. `batch_size` images share one forward pass. `mode`: "exact" works in float32 and
    tries every epsilon that a separate call per epsilon could break; "fast" searches in bfloat16 around each image's decision
    boundary and verifies in float32. `worst_only` attacks only images that all earlier threats left unbroken, so only
    `EpsilonSweep.worst_case` is defined afterwards. `refine` bisects the interval below each breaking epsilon that many
    times. `keep_examples` returns the nearest adversarial image of every threat.

    `pairs`: "on" searches all threats of one kind and all epsilons as one batch of pairs, "off" one threat and epsilon after the other,
    "auto" pairs on a GPU. `capture` replays the steps of pairs as CUDA graphs; `recorder` replaces CUDA graphs.
    """

    seed: int = 0
    batch_size: int = 64
    mode: str = "exact"
    worst_only: bool = False
    refine: int = 0
    keep_examples: bool = False
    pairs: str = "auto"
    capture: bool = True
    recorder: Recorder | None = None
