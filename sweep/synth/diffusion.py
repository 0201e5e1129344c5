"""Denoising diffusion: a cosine schedule in continuous time, velocity prediction, deterministic (DDIM) sampling.

A noisy image is signal(t) * image + noise(t) * epsilon with t from 0 (clean) to 1 (noise). Sources: Nichol & Dhariwal
2021 (cosine), Salimans & Ho 2022 (velocity), Song et al. 2021 (DDIM).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweep.core.capture import Recordable, RecordedStep, Recorder
from sweep.core.seeds import named_seed
from sweep.synth.average import WeightAverage
from sweep.synth.feed import Feed
from sweep.synth.layers import channels_last
from sweep.synth.optimizing import adam, mixed_precision, recordable_of
from sweep.synth.settings import Settings, uses_bf16
from sweep.synth.watch import Watch

LATEST = 0.995  # sampling starts just below 1, where signal(t) is 0 and the image is undefined


def schedule(times: Tensor) -> tuple[Tensor, Tensor]:
    """(signal, noise) shares of times [N], each [N, 1, 1, 1]; their squares add up to one."""
    angle = (times * math.pi / 2)[:, None, None, None]
    return angle.cos(), angle.sin()


def train_diffusion(
    network: nn.Module,
    feed: Feed,
    settings: Settings,
    *,
    image_px: int,
    num_classes: int,
    seed: int,
    device: str,
    watch: Watch,
    loss_of: Callable[..., Tensor] | None = None,
    recorder: Recorder | None = None,
) -> nn.Module:
    """`steps` updates of the network, or fewer when `watch` says stop; returns the network to sample from.

    `loss_of(network, images, labels, draws)` is the velocity loss below unless another is given.
    """
    loss_of = loss_of or velocity_loss
    place = torch.device(device)
    network = channels_last(network.to(place)).train()
    average = WeightAverage(network, settings["ema"])
    optimizer = adam(network.parameters(), settings["lr"])
    draws = torch.Generator(place).manual_seed(named_seed(seed, "diffusion"))
    bf16 = uses_bf16(settings["precision"], device)

    def update(images: Tensor, labels: Tensor) -> list[Tensor]:
        with mixed_precision(place, bf16):
            loss = loss_of(network, images, labels, draws)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return [loss.detach()]

    def recordable(run: Callable[[], Sequence[Tensor]]) -> Recordable:
        return recordable_of(run, [network], [optimizer], draws, list(network.parameters()), bf16)

    recorded = RecordedStep(update, recordable, recorder, "denoiser steps")
    for step in range(1, settings["steps"] + 1):
        (loss,) = recorded(*next(feed))
        average.update()
        watch.losses(step, {"loss/denoiser": loss})
        if watch.check(step, average.network):
            break
    return watch.chosen(average.network)


def velocity_loss(network: nn.Module, images: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
    """Mean squared error of the predicted velocity signal * epsilon - noise * image, at one random time for each image.

    The times are spread evenly over [0, 1] within a batch, which makes the loss less noisy than independent ones.
    """
    times = spread_times(images, draws)
    epsilon = torch.randn(images.shape, generator=draws, device=images.device)
    signal, noise = schedule(times)
    predicted = network(signal * images + noise * epsilon, times, labels)
    return F.mse_loss(predicted.float(), signal * epsilon - noise * images)


def spread_times(images: Tensor, draws: torch.Generator) -> Tensor:
    """One time in [0, 1) for each image, evenly spread, all moved by one draw."""
    n = len(images)
    offset = torch.rand(1, generator=draws, device=images.device)
    return (torch.arange(n, device=images.device) / n + offset) % 1


def denoise(network: nn.Module, latents: tuple[Tensor, ...], labels: Tensor, settings: Settings) -> Tensor:
    """Images [N, 1, px, px] in [-1, 1] from starting noise, in `denoising_steps` deterministic steps."""
    current, count = latents[0], settings["denoising_steps"]
    times = torch.linspace(LATEST, 0, count + 1, device=current.device)
    for now, later in itertools.pairwise(times):
        signal, noise = schedule(now.expand(len(current)))
        with torch.autocast(
            current.device.type, dtype=torch.bfloat16, enabled=uses_bf16(settings["precision"], current.device.type)
        ):
            velocity = network(current, now.expand(len(current)), labels).float()
        image = (signal * current - noise * velocity).clamp(-1, 1)
        epsilon = (current - signal * image) / noise
        signal, noise = schedule(later.expand(len(current)))
        current = signal * image + noise * epsilon
    return current
