"""Attacked images for display: image, perturbation, colorized view before and after, probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sweep.attacks.craft import craft
from sweep.attacks.network import Model, device_of, frozen
from sweep.attacks.threat import Threat


@dataclass(frozen=True)
class GalleryEntry:
    """One attacked image; pictures are uint8, grey [H, W] or colour [H, W, 3].

    `perturbation` shows the difference with 128 as zero, stretched by `scale` so that the largest change reaches the end of the
    range. Colorized views are None without a colorizer; both share one stretch, so that they can be compared.
    """

    label: int | list[float]
    image: np.ndarray
    adversarial: np.ndarray
    perturbation: np.ndarray
    scale: float
    colorized: np.ndarray | None
    colorized_adversarial: np.ndarray | None
    probabilities: np.ndarray
    adversarial_probabilities: np.ndarray


def gallery(
    model: Model, images: Tensor, labels: Tensor, threat: str | Threat, epsilon: str | float, *, seed: int = 0
) -> list[GalleryEntry]:
    """Attack grey `images` [N, 1, H, W] at one epsilon; one entry per image."""
    attacked = craft(model, images, labels, threat, epsilon, seed=seed).cpu()
    with frozen(model), torch.no_grad():
        device = device_of(model)
        logits = [model(batch.to(device)) for batch in (images, attacked)]
        before, after = ((one.sigmoid() if labels.ndim == 2 else one.softmax(dim=1)).cpu().numpy() for one in logits)
        clean_colors, moved_colors = (_colorized(model, batch.to(device)) for batch in (images, attacked))
    entries = []
    for i, (clean, moved) in enumerate(zip(images.cpu(), attacked, strict=True)):
        difference = (moved - clean)[0]
        scale = 0.5 / max(difference.abs().max().item(), 1e-8)
        views = (
            (None, None)
            if clean_colors is None or moved_colors is None
            else _stretched(clean_colors[i], moved_colors[i])
        )
        entries.append(
            GalleryEntry(
                label=labels[i].tolist(),
                image=_bytes(clean[0]),
                adversarial=_bytes(moved[0]),
                perturbation=_bytes(0.5 + scale * difference),
                scale=scale,
                colorized=views[0],
                colorized_adversarial=views[1],
                probabilities=before[i],
                adversarial_probabilities=after[i],
            )
        )
    return entries


def _colorized(model: Model, images: Tensor) -> Tensor | None:
    colorize = getattr(model, "colorize", None)
    return None if colorize is None else colorize(images).float().cpu()


def _stretched(before: Tensor, after: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures scaled by the range of the first: a colorizer's output is unbounded."""
    low, high = before.amin(), before.amax()
    first, second = ((view - low) / (high - low).clamp(min=1e-8) for view in (before, after))
    return _bytes(first).transpose(1, 2, 0), _bytes(second).transpose(1, 2, 0)


def _bytes(values: Tensor) -> np.ndarray:
    return (values.clamp(0, 1) * 255).round().byte().numpy()
