"""The result of a sweep over epsilons, per image and threat."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sweep.attacks.network import Passes
from sweep.core.epsilon import same_epsilon
from sweep.core.errors import InputError, suggestion


@dataclass(frozen=True)
class EpsilonSweep:
    """Smallest epsilon that breaks each image, by threat.

    `breaking_epsilon[threat]` float64 [N]: inf where the image stands at the largest epsilon, 0 where it is wrong when
    clean, else a member of `epsilons`.
    `kinds[threat]`: one_step, many_step, black_box or noise. `distance[threat]` float64 [N]: length of the smallest
    perturbation seen to break it. `logits` [N, K]: the clean prediction. On request: `refined[threat]` [N], the breaking
    epsilon between the members of the grid, and `examples[threat]` [N, C, H, W], the nearest image that breaks (NaN where
    none does). For the alarms (`masking.alarms_of`), bool [N] by threat: `non_finite` (NaN or infinite entries in an input
    gradient), `no_gradient` (every gradient was zero), `unmoved` (attacked, but no pixel was ever changed).
    """

    epsilons: tuple[float, ...]
    breaking_epsilon: dict[str, Tensor]
    distance: dict[str, Tensor]
    clean_right: Tensor
    logits: Tensor
    labels: Tensor
    passes: Passes
    passes_by_threat: dict[str, Passes]
    norms: dict[str, str]
    kinds: dict[str, str]
    worst_only: bool = False
    refined: dict[str, Tensor] = field(default_factory=dict)
    examples: dict[str, Tensor] = field(default_factory=dict)
    non_finite: dict[str, Tensor] = field(default_factory=dict)
    no_gradient: dict[str, Tensor] = field(default_factory=dict)
    unmoved: dict[str, Tensor] = field(default_factory=dict)

    @property
    def threats(self) -> tuple[str, ...]:
        """Names of the threats, in the order given."""
        return tuple(self.breaking_epsilon)

    @property
    def clean_accuracy(self) -> float:
        """Share of images predicted right without an attack."""
        return self.clean_right.double().mean().item()

    def robust_accuracy(self, threat: str, epsilon: str | float) -> float:
        """Share of all images (clean mistakes count as broken) that stand at `epsilon`; `worst` is every threat together."""
        return (self.breaking(threat) > self.on_grid(epsilon)).double().mean().item()

    def worst_case(self, epsilon: str | float) -> float:
        """Robust accuracy against all threats together: an image stands if no threat breaks it."""
        return self.robust_accuracy("worst", epsilon)

    def worst_breaking_epsilon(self) -> Tensor:
        """Smallest breaking epsilon over all threats [N]."""
        return torch.stack(list(self.breaking_epsilon.values())).amin(dim=0)

    def breaking(self, threat: str) -> Tensor:
        """Breaking epsilon [N] of one threat, or of `worst`; InputError for a threat that was not run."""
        if threat == "worst":
            return self.worst_breaking_epsilon()
        if threat not in self.breaking_epsilon:
            raise InputError("threat", f"{threat!r} was not run", suggestion(threat, (*self.threats, "worst")))
        if self.worst_only and len(self.threats) > 1:
            fix = "ask for worst_case, or sweep without worst_only"
            raise InputError("threat", f"{threat!r} attacked only what others left", fix)
        return self.breaking_epsilon[threat]

    def on_grid(self, epsilon: str | float) -> float:
        """The member of the grid (or 0) that `epsilon` means; InputError for one that was not run."""
        for known in (0.0, *self.epsilons):
            if same_epsilon(known, epsilon):
                return known
        raise InputError(
            "epsilon", f"{epsilon} was not run", f"choose from {', '.join(f'{e:.6g}' for e in self.epsilons)}"
        )
