"""Milliseconds of the texture functions on a GPU, by backend, beside a training step that uses the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from benchmarks.gpu_sizes import Sizes, median_ms
from benchmarks.gpu_training import EpochClock, NoiseBatches
from sweep.losses.glcm import GLCMLoss, glcm, soft_glcm
from sweep.losses.glcm.backend import backends_for
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.training.fit import FitOptions, fit
from sweep.training.hooks import TrainingHooks
from sweep.training.recipe import Recipe

LEVELS = (8, 32, 64, 256)


def texture(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Hard counts, soft counts with their gradient, the loss with its gradient, and its share of a training step."""
    pictures = smooth(sizes)
    for levels in LEVELS:
        level = (pictures * (levels - 1)).round().byte()
        yield {"what": "hard counts", "levels": levels} | {
            way: median_ms(lambda way=way, level=level, levels=levels: glcm(level, levels, backend=way), sizes)
            for way in backends_for(level, levels)
        }
        if levels <= 64:
            yield {"what": "soft counts, forward and backward", "levels": levels} | {
                way: median_ms(lambda way=way, levels=levels: _soft(pictures, levels, way), sizes)
                for way in backends_for(pictures, levels)
            }
    grey = pictures.unsqueeze(1)
    colors = (grey + 0.1 * torch.randn(len(grey), 3, sizes.px, sizes.px, device=grey.device)).requires_grad_()
    yield {"what": "GLCMLoss, forward and backward"} | {
        way: median_ms(lambda way=way: _loss(GLCMLoss(backend=way), colors, grey), sizes)
        for way in ("auto", *backends_for(pictures, 32))
    }
    yield step_with_and_without(sizes)


def smooth(sizes: Sizes) -> torch.Tensor:
    """Pictures [N, px, px] in [0, 1] whose neighbours resemble each other, as in speckle."""
    noise = torch.rand(sizes.texture_batch, 1, sizes.px + 4, sizes.px + 4, generator=torch.Generator().manual_seed(0))
    blurred = functional.avg_pool2d(noise, 5, 1).squeeze(1)
    low, high = blurred.amin((1, 2), True), blurred.amax((1, 2), True)
    return ((blurred - low) / (high - low)).to(sizes.device)


def _soft(pictures: torch.Tensor, levels: int, way: str) -> None:
    values = (pictures * (levels - 1)).requires_grad_()
    soft_glcm(values, levels, backend=way).square().mean().backward()


def _loss(loss: GLCMLoss, colors: torch.Tensor, grey: torch.Tensor) -> None:
    colors.grad = None
    loss(colors, grey).backward()


def step_with_and_without(sizes: Sizes) -> dict[str, Any]:
    """Seconds of an epoch of T+C + backbone without and with the texture loss; the loss's share of the second."""
    backbone, batch = sizes.models[min(1, len(sizes.models) - 1)]
    seconds, how = {}, {}
    for name, weight in (("without", 0.0), ("with", 0.1)):
        batches = NoiseBatches(sizes, batch, sizes.device)
        spec = ClassifierSpec(backbone=backbone, colorizer="texture_color", num_classes=2, image_px=sizes.px)
        recipe = Recipe(
            epochs=sizes.epochs + 1, batch_size=batch, augment="none", patience=0, schedule="none", glcm_weight=weight
        )
        clock = EpochClock(sizes.device)
        val = (batches.images[:8].cpu().numpy(), batches.labels[:8].cpu().numpy())
        done = fit(
            build_classifier(spec, seed=0).to(sizes.device), batches, val, recipe, seed=0,
            options=FitOptions(sizes.device, texture_loss=GLCMLoss()), hooks=TrainingHooks(on_epoch=clock),
        )  # fmt: skip
        seconds[name], how[name] = clock.median(), done.steps_ran
    share = 1 - seconds["without"] / seconds["with"]
    return {
        "what": f"share of a T+C + {backbone} step", "share": round(share, 4), "bar": 0.1, "steps": how,
        "ms_per_step": {name: round(1000 * value / sizes.steps, 3) for name, value in seconds.items()},
    }  # fmt: skip
