"""The games' losses by hand, and the constraints on the critic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sweep.losses.adversarial import LOSSES, clip_weights, gradient_penalty, zero_centred_penalty

REAL, FAKE = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])


@pytest.mark.parametrize(("name", "critic"), [("wasserstein", -2.75), ("hinge", 0.25 + 0.5)])
def test_losses_by_hand(name: str, critic: float) -> None:
    assert LOSSES[name].critic(REAL, FAKE).item() == pytest.approx(critic)
    assert LOSSES[name].generator(REAL, FAKE).item() == pytest.approx(1.5)


def test_the_relativistic_game_by_hand() -> None:
    """Pairs differ by 5 and 0.5: softplus of minus these for the critic, of these for the generator."""
    softplus = lambda x: math.log1p(math.exp(x))
    game = LOSSES["relativistic"]
    assert game.critic(REAL, FAKE).item() == pytest.approx((softplus(-5) + softplus(-0.5)) / 2)
    assert game.generator(REAL, FAKE).item() == pytest.approx((softplus(5) + softplus(0.5)) / 2)


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_zero_centred_penalty_is_the_squared_slope(slope: float) -> None:
    images = torch.rand(3, 1, 4, 4, requires_grad=True)
    scores = slope * images.flatten(1).sum(1) / 4  # 16 pixels: the gradient has norm slope
    assert zero_centred_penalty(scores, images).item() == pytest.approx(slope**2, abs=1e-6)


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_penalty_is_the_squared_distance_of_the_slope_from_one(slope: float, penalty: float) -> None:
    def critic(points: torch.Tensor) -> torch.Tensor:
        return slope * points.flatten(1).sum(1) / 4  # 16 pixels: the gradient has norm slope

    real, fake = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    value = gradient_penalty(critic, real, fake, torch.rand(3, 1, 1, 1))
    assert value.item() == pytest.approx(penalty, abs=1e-5)


def test_penalty_trains_the_critic() -> None:
    critic = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    value = gradient_penalty(critic, torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4), torch.rand(3, 1, 1, 1))
    value.backward()
    assert critic[1].weight.grad.abs().sum() > 0


def test_clipping_bounds_every_weight() -> None:
    layer = nn.Linear(50, 50)
    clip_weights(layer.parameters(), 0.01)
    assert all(part.abs().max() <= 0.01 for part in layer.parameters())
