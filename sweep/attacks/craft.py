"""One attack at one epsilon, run to its end: returns the perturbed images, for a gallery or a comparison."""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.attacks import input_checks
from sweep.attacks.network import Model, Network, device_of, frozen, normal_tensor
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Memory, Referee
from sweep.attacks.threat import Threat
from sweep.attacks.threats import resolve_threat
from sweep.core.epsilon import parse_epsilon


def craft(
    model: Model,
    images: Tensor,
    labels: Tensor,
    threat: str | Threat,
    epsilon: str | float,
    *,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Perturbed `images` [N, C, H, W], in one batch, no image leaving early; epsilon 0 returns the images.

    Random starts come from `generator` when given, else from `seed`.
    """
    input_checks.check_images(images)
    labels = input_checks.checked_labels(labels, len(images))
    input_checks.check_model(model, images)
    row, radius = resolve_threat(threat), parse_epsilon(epsilon)
    device = device_of(model)
    if radius == 0:
        return images.to(device, copy=True)
    with frozen(model):
        images, labels = normal_tensor(images).to(device), normal_tensor(labels).to(device)
        referee = Referee(Network(model), images, labels, row.norm, Memory(), leave=False)
        logits = referee.network.forward(images)
        input_checks.check_logits(logits, labels)
        referee.saw_clean(logits)
        everyone = torch.arange(len(images), device=device)
        draws = Draws(images, seed, row.name, 0, generator=generator)
        return row.search(referee, everyone, images.new_full((len(images),), radius), row, draws)
