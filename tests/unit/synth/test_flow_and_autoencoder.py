"""Flow matching by a flow that is known, and what the losses of the new generators ask for."""

import numpy as np
import pytest
import torch
from torch import nn

from sweep.synth.adversarial import critic_step, generator_step, start_duel
from sweep.synth.autoencoder import Encoder, code_critic, critic_loss
from sweep.synth.flow_matching import flow_loss, integrate
from sweep.synth.generators import GENERATORS, build_network
from sweep.synth.networks import ConvCritic
from sweep.synth.train import resolved_settings, train_generator

SETTINGS = {"denoising_steps": 8, "precision": "fp32"}


class Straight(nn.Module):
    """The exact velocity of data that are one image: towards it along straight lines."""

    def __init__(self, image):
        super().__init__()
        self.image = image

    def forward(self, points, times, _labels):
        return (points - self.image) / times[:, None, None, None]


def test_the_exact_velocity_leads_from_any_noise_to_the_image():
    image = torch.linspace(-0.9, 0.9, 64).view(1, 1, 8, 8)
    found = integrate(Straight(image), (torch.randn(3, 1, 8, 8),), torch.zeros(3, dtype=torch.long), SETTINGS)
    assert torch.allclose(found, image.expand(3, 1, 8, 8), atol=1e-4)


def test_the_exact_velocity_has_no_loss_and_another_has():
    image = torch.full((4, 1, 8, 8), 0.25)
    labels, draws = torch.zeros(4, dtype=torch.long), lambda: torch.Generator().manual_seed(1)
    assert flow_loss(Straight(image), image, labels, draws()).item() == pytest.approx(0, abs=1e-6)
    assert flow_loss(lambda x, t, y: torch.zeros_like(x), image, labels, draws()).item() > 0.9  # noise has variance 1


def test_sampling_asks_the_network_about_as_often_as_told():
    calls = []

    def network(points, times, _labels):
        calls.append(times[0].item())
        return torch.zeros_like(points)

    integrate(network, (torch.randn(2, 1, 8, 8),), torch.zeros(2, dtype=torch.long), SETTINGS)
    assert len(calls) == 8 and calls[0] == 1 and min(calls) == pytest.approx(0.125)


def test_critic_of_the_codes_by_hand():
    critic = nn.Linear(1, 1)
    critic.weight.data.fill_(2.0)
    critic.bias.data.zero_()
    softplus = lambda x: np.log1p(np.exp(x))
    found = critic_loss(critic, torch.tensor([[1.0]]), torch.tensor([[0.5]])).item()
    assert found == pytest.approx(0.5 * (softplus(-2) + softplus(1)))


def test_codes_come_to_look_like_the_prior():
    """Constant images of many grey levels: after training the decoder turns prior draws into varied grey levels of that range."""
    images = np.repeat(np.linspace(60, 200, 64).astype(np.uint8), 32 * 32).reshape(64, 32, 32)
    settings = {"steps": 60, "width": 4, "latent": 2, "lr": 3e-3, "ema": 0.9}
    pool = train_generator("aae", images, settings=settings, seed=0).sample(32, seed=1)
    levels = pool.mean((1, 2))
    assert levels.min() > 30 and levels.max() < 230 and levels.std() > 10
    assert Encoder(32, width=4, latent=2)(torch.zeros(3, 1, 32, 32)).shape == (3, 2)
    assert code_critic(2)(torch.zeros(3, 2)).shape == (3, 1)


class TestR3GAN:
    def duel(self, **changes):
        settings = resolved_settings("r3gan", {"width": 4, "augment": "", "precision": "fp32", **changes})
        critic = ConvCritic(32, width=4, num_classes=2, spectral=False)
        return start_duel(build_network("r3gan", settings, 32, 2, 0), critic, settings, seed=0, device="cpu")

    def test_its_critic_loss_is_game_plus_penalty(self):
        torch.manual_seed(0)
        real, labels = torch.rand(4, 1, 32, 32) * 2 - 1, torch.tensor([0, 1, 0, 1])
        losses = {}
        for penalty in (0.0, 10.0):
            torch.manual_seed(0)
            duel = self.duel(penalty=penalty)
            for weight in duel.critic.parameters():
                weight.data.mul_(1.5)
            losses[penalty] = critic_step(duel, real, labels)[0].item()
        assert losses[10.0] > losses[0.0] > 0

    def test_the_generator_compares_with_the_real_images(self):
        real, labels = torch.rand(4, 1, 32, 32) * 2 - 1, torch.tensor([0, 1, 0, 1])
        torch.manual_seed(0)
        first = generator_step(self.duel(), real, labels).item()
        torch.manual_seed(0)
        other = generator_step(self.duel(), -real, labels).item()
        assert first != other and GENERATORS["r3gan"].defaults["lipschitz"] == "r1r2"
