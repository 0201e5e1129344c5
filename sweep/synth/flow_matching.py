"""Conditional flow matching with straight paths: the network predicts the velocity from image to noise, and sampling integrates it back.

A point on the path is (1 - t) * image + t * epsilon, its velocity epsilon - image (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023,
arXiv 2209.03003). The class is the condition. Network and training loop are those of `ddpm`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweep.synth.diffusion import spread_times
from sweep.synth.settings import Settings, uses_bf16


def flow_loss(network: nn.Module, images: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
    """Mean squared error of the predicted velocity at one random time for each image [N, 1, px, px] in [-1, 1]."""
    times = spread_times(images, draws)
    epsilon = torch.randn(images.shape, generator=draws, device=images.device)
    share = times[:, None, None, None]
    predicted = network((1 - share) * images + share * epsilon, times, labels)
    return F.mse_loss(predicted.float(), epsilon - images)


def integrate(network: nn.Module, latents: tuple[Tensor, ...], labels: Tensor, settings: Settings) -> Tensor:
    """Images [N, 1, px, px] in [-1, 1] from noise by the midpoint rule, with about `denoising_steps` evaluations of the network."""
    current, count = latents[0], max(1, settings["denoising_steps"] // 2)
    bf16 = uses_bf16(settings["precision"], current.device.type)

    def velocity(at: Tensor, time: float) -> Tensor:
        with torch.autocast(current.device.type, dtype=torch.bfloat16, enabled=bf16):
            return network(at, torch.full((len(at),), time, device=at.device), labels).float()

    step = 1 / count
    for number in range(count):
        time = 1 - number * step
        middle = current - step / 2 * velocity(current, time)
        current = current - step * velocity(middle, time - step / 2)
    return current.clamp(-1, 1)
