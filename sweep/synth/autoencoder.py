"""Adversarial autoencoder (Makhzani et al. 2015, arXiv 1511.05644): codes of real images are made to look like standard normal draws.

The decoder is the generator of `wgan` and is given the class, so the code holds what the class does not say. Encoder and critic of the codes
are needed in training alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweep.core.capture import Recordable, RecordedStep, Recorder
from sweep.core.seeds import named_seed
from sweep.synth.average import WeightAverage
from sweep.synth.feed import Feed
from sweep.synth.layers import SMALLEST_MAP, channels_at, channels_last
from sweep.synth.networks import ConvCritic
from sweep.synth.optimizing import adam, mixed_precision, recordable_of
from sweep.synth.settings import Settings, uses_bf16
from sweep.synth.watch import Watch

_HIDDEN = 128  # units of the critic of the codes


class Encoder(nn.Module):
    """Images [N, 1, px, px] -> codes [N, latent]; the convolutions of the critic."""

    def __init__(self, image_px: int, *, width: int, latent: int) -> None:
        super().__init__()
        self.trunk = ConvCritic(image_px, width=width, spectral=False)
        self.trunk.score = nn.Identity()  # type: ignore[assignment]
        self.code = nn.Linear(channels_at(SMALLEST_MAP, image_px, width) * SMALLEST_MAP**2, latent)

    def forward(self, images: Tensor) -> Tensor:
        return self.code(self.trunk.features(images).flatten(1))


def code_critic(latent: int) -> nn.Sequential:
    """Codes [N, latent] -> logits [N, 1]: drawn from the prior (positive) or by the encoder."""
    return nn.Sequential(
        nn.Linear(latent, _HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(_HIDDEN, _HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(_HIDDEN, 1),
    )


def train_autoencoder(
    decoder: nn.Module,
    feed: Feed,
    settings: Settings,
    *,
    image_px: int,
    num_classes: int,
    seed: int,
    device: str,
    watch: Watch,
    recorder: Recorder | None = None,
) -> nn.Module:
    """`steps` updates of encoder and decoder, each after one of the critic of the codes; returns the decoder to sample from.

    Raises Diverged when a loss is not finite and Collapsed when the samples do not vary (both from `watch`).
    """
    place, latent = torch.device(device), settings["latent"]
    encoder = channels_last(Encoder(image_px, width=settings["width"], latent=latent).to(place)).train()
    critic = code_critic(latent).to(place)
    decoder = channels_last(decoder.to(place)).train()
    average = WeightAverage(decoder, settings["ema"])
    betas = (settings["beta1"], settings["beta2"])
    both = [*encoder.parameters(), *decoder.parameters()]
    optimizer = adam(both, settings["lr"], betas)
    critic_optimizer = adam(critic.parameters(), settings["critic_lr"], betas)
    draws = torch.Generator(place).manual_seed(named_seed(seed, "autoencoder"))
    bf16 = uses_bf16(settings["precision"], device)

    def update(images: Tensor, labels: Tensor) -> list[Tensor]:
        with mixed_precision(place, bf16):
            codes = encoder(images).float()
        prior = torch.randn(codes.shape, generator=draws, device=place)
        judged = critic_loss(critic, prior, codes.detach())
        _update(critic_optimizer, judged)
        with mixed_precision(place, bf16):
            redrawn = decoder((codes,), labels).float()
        error = F.l1_loss(redrawn, images)
        fooling = F.softplus(-critic(codes)).mean()
        _update(optimizer, error + settings["match"] * fooling)
        return [judged.detach(), fooling.detach(), error.detach()]

    def recordable(run: Callable[[], Sequence[Tensor]]) -> Recordable:
        trained = [*both, *critic.parameters()]
        return recordable_of(run, [encoder, decoder, critic], [optimizer, critic_optimizer], draws, trained, bf16)

    recorded = RecordedStep(update, recordable, recorder, "autoencoder steps")
    for step in range(1, settings["steps"] + 1):
        judged, fooling, error = recorded(*next(feed))
        average.update()
        watch.losses(step, {"loss/critic": judged, "loss/generator": fooling, "loss/redrawn": error})
        if watch.check(step, average.network):
            break
    return watch.chosen(average.network)


def critic_loss(critic: nn.Module, prior: Tensor, codes: Tensor) -> Tensor:
    """Binary cross-entropy of the critic: draws of the prior positive, codes negative; the mean over both halves."""
    return 0.5 * (F.softplus(-critic(prior)).mean() + F.softplus(critic(codes)).mean())


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
