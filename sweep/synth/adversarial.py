"""The loop that every adversarial generator shares: some critic steps, one generator step, the running average.

What differs between the rows of GENERATORS (networks, loss, constraint, augmentation) comes in as settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from sweep.core.capture import Recordable, RecordedStep, Recorder
from sweep.core.seeds import named_seed
from sweep.losses.adversarial import LOSSES, clip_weights, gradient_penalty, zero_centred_penalty
from sweep.synth.augment import augment
from sweep.synth.average import WeightAverage
from sweep.synth.feed import Feed
from sweep.synth.layers import channels_last
from sweep.synth.optimizing import adam, mixed_precision, recordable_of
from sweep.synth.sampling import latent_shapes
from sweep.synth.settings import Settings, uses_bf16
from sweep.synth.watch import Watch

Judge = Callable[
    [Tensor, Tensor, int], tuple[Tensor, Tensor]
]  # images, labels, number of real ones -> scores, extra loss
Latents = tuple[Tensor, ...]


@dataclass
class Duel:
    """Both players with their optimisers and everything that one step needs."""

    generator: nn.Module
    critic: nn.Module
    settings: Settings
    draws: torch.Generator
    device: torch.device
    bf16: bool
    generator_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer

    def latents(self, count: int) -> Latents:
        """Standard normal input of the generator for `count` images."""
        shapes = latent_shapes(self.generator)
        return tuple(torch.randn((count, *shape), generator=self.draws, device=self.device) for shape in shapes)

    def mixed_precision(self) -> torch.autocast:
        """bfloat16 for convolutions and products where the settings and the hardware allow it."""
        return mixed_precision(self.device, self.bf16)


def train_adversarial(
    generator: nn.Module, critic: nn.Module, feed: Feed, settings: Settings, *, seed: int, device: str, watch: Watch,
    recorder: Recorder | None = None,
) -> nn.Module:  # fmt: skip
    """Train for `steps` generator steps, or fewer when `watch` says stop; returns the network to sample from.

    With a `recorder`, the steps of both players are recorded once and replayed.
    Raises Diverged when a loss is not finite and Collapsed when the samples do not vary (both from `watch`).
    """
    duel = start_duel(generator, critic, settings, seed=seed, device=device)
    teach_critic, teach_generator = steps_of(duel, recorder)
    average = WeightAverage(generator, settings["ema"])
    for step in range(1, settings["steps"] + 1):
        for _ in range(settings["critic_steps"]):
            real, labels = next(feed)
            critic_loss, gap = teach_critic(real, labels)
        (generator_loss,) = teach_generator(real, labels)
        average.update()
        watch.losses(step, {"loss/critic": critic_loss, "critic_gap": gap, "loss/generator": generator_loss})
        if watch.check(step, average.network):
            break
    return watch.chosen(average.network)


def critic_step(duel: Duel, real: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One update of the critic on real [B, 1, H, W] and as many synthetic images; returns (loss, critic gap).

    The synthetic images are made without a graph, and both halves go through the critic as one batch.
    """
    settings, count = duel.settings, len(real)
    with torch.no_grad(), duel.mixed_precision():
        fake = duel.generator(duel.latents(count), labels)
    both = augment(torch.cat([real, fake.float()]), settings["augment"], duel.draws)
    zero_centred = settings["lipschitz"] == "r1r2"
    both.requires_grad_(zero_centred)
    with duel.mixed_precision():
        judge = cast("Judge", duel.critic.judge)
        scores, extra = judge(both, labels.repeat(2), count)
    on_real, on_fake = scores.float().split(count)
    loss = LOSSES[settings["loss"]].critic(on_real, on_fake) + extra
    if zero_centred:  # both halves weigh alike: half of R1 plus R2 is the mean over the joint batch
        loss = loss + settings["penalty"] * zero_centred_penalty(scores.float(), both)
    if settings["lipschitz"] == "gp":
        loss = loss + settings["penalty"] * _penalty(duel, real, fake.float(), labels)
    _update(duel.critic_optimizer, loss)
    if "clip" in settings["lipschitz"]:
        clip_weights(duel.critic.parameters(), settings["clip"])
    return loss.detach(), (on_real.mean() - on_fake.mean()).detach()


def generator_step(duel: Duel, real: Tensor, labels: Tensor) -> Tensor:
    """One update of the generator for the classes `labels` [B] of the `real` images; returns its loss.

    The critic is frozen meanwhile: its weight gradients are not needed.
    """
    loss_of, settings = LOSSES[duel.settings["loss"]], duel.settings
    duel.critic.requires_grad_(False)
    with duel.mixed_precision():
        fake = duel.generator(duel.latents(len(labels)), labels)
        seen = augment(fake.float(), settings["augment"], duel.draws)
        scores = duel.critic(seen, labels).float()
        on_real = scores.detach()  # a stand-in where the loss does not look at it
        if loss_of.compares:
            with torch.no_grad():
                on_real = duel.critic(augment(real, settings["augment"], duel.draws), labels).float()
    loss = loss_of.generator(on_real, scores)
    _update(duel.generator_optimizer, loss)
    duel.critic.requires_grad_(True)
    return loss.detach()


def steps_of(duel: Duel, recorder: Recorder | None) -> tuple[RecordedStep, RecordedStep]:
    """`critic_step` and `generator_step` of a duel, called with (real, labels), recorded where there is a recorder."""
    networks = (duel.generator, duel.critic)

    def recordable(run: Callable[[], Sequence[Tensor]], trained: nn.Module) -> Recordable:
        optimizers = [duel.generator_optimizer, duel.critic_optimizer]
        return recordable_of(run, networks, optimizers, duel.draws, list(trained.parameters()), duel.bf16)

    return (
        RecordedStep(
            lambda real, labels: critic_step(duel, real, labels), partial(recordable, trained=duel.critic), recorder,
            "critic steps",
        ),
        RecordedStep(
            lambda real, labels: [generator_step(duel, real, labels)], partial(recordable, trained=duel.generator),
            recorder, "generator steps",
        ),
    )  # fmt: skip


def start_duel(generator: nn.Module, critic: nn.Module, settings: Settings, *, seed: int, device: str) -> Duel:
    """Both networks on `device` in training mode, with fused optimisers and a separate random stream."""
    place = torch.device(device)
    betas = (settings["beta1"], settings["beta2"])
    return Duel(
        channels_last(generator.to(place)).train(),
        channels_last(critic.to(place)).train(),
        settings,
        torch.Generator(place).manual_seed(named_seed(seed, "duel")),
        place,
        uses_bf16(settings["precision"], device),
        adam(generator.parameters(), settings["lr"], betas),
        adam(critic.parameters(), settings["critic_lr"], betas),
    )


def _penalty(duel: Duel, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    mix = torch.rand((len(real), 1, 1, 1), generator=duel.draws, device=duel.device)
    with duel.mixed_precision():
        return gradient_penalty(lambda points: duel.critic(points, labels).float(), real, fake, mix)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
