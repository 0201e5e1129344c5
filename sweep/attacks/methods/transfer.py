"""Attack a surrogate model and try the result on this one: success without this model's gradient indicates masking."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from sweep.attacks.methods.gradient_steps import gradient_steps
from sweep.attacks.network import Model, Network, frozen
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Memory, Referee
from sweep.attacks.threat import Threat


def transfer_from(surrogate: Model, name: str = "transfer", *, steps: int = 10) -> Threat:
    """A threat that runs MI-FGSM (step epsilon/4) on `surrogate`, which takes the same images, and tries the last point here."""
    row = Threat(name, gradient_steps, steps=steps, alpha_per_eps=0.25, decay=1.0)
    return Threat(name, partial(_transfer, surrogate, row), steps=steps, family="black_box")


def _transfer(
    surrogate: Model, row: Threat, referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws
) -> Tensor:
    with frozen(surrogate):
        network = Network(surrogate)
        network.passes = referee.network.passes  # the surrogate's passes count as work of this attack
        there = Referee(network, referee.images, referee.labels, row.norm, Memory(), leave=False)
        points = gradient_steps(there, rows, epsilon, row, draws)
    referee.forward(rows, points)
    return points
