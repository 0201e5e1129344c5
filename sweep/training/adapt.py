"""Unsupervised adaptation to a target hospital: baselines that a recipe has to beat.

AdaBN (Li et al. 2017) re-estimates batch-norm statistics on target images, or mixes them with the source's; histogram matching maps grey levels to those of
the other domain. Target to source needs no training and no source image at the target, only the source's histogram; source to target has
to happen before training, which then knows the target's unlabelled images.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import nn

from sweep.core.errors import InputError, described
from sweep.core.grey_levels import check_grey_levels
from sweep.core.torch_internals import eager

Model = TypeVar("Model", bound=nn.Module)

_LEVELS = 256
_BLOCK = 256  # images counted at once
_GUARD_SHARE = 1 / 3  # of a class's share before entropy steps, below which its share after them counts as a collapse


@torch.no_grad()
def adapt_batch_norm(
    model: Model, images: np.ndarray, *, batch_size: int = 64, device: str | torch.device = "cpu"
) -> Model:
    """A copy of `model` in eval mode whose batch-norm statistics are those of uint8 `images` [N, H, W]; `model` is unchanged.

    A model without batch norm comes back equal. InputError for images of another type, and for none.
    """
    check_grey_levels(images)
    adapted = copy.deepcopy(model).eval()
    norms = [module for module in adapted.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # the plain mean over all batches
    if norms:
        # Batches of one size, so that the mean over batches is the mean over images.
        edges = np.linspace(0, len(images), math.ceil(len(images) / batch_size) + 1).astype(int)
        for start, stop in pairwise(edges):
            adapted(
                torch.from_numpy(np.ascontiguousarray(images[start:stop])).to(device).unsqueeze(1).float().div_(255)
            )
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return adapted.eval()


@torch.no_grad()
def mix_batch_norm(
    model: Model, images: np.ndarray, source_share: float, *, batch_size: int = 64, device: str | torch.device = "cpu"
) -> Model:
    """A copy of `model` whose batch-norm means and variances are `source_share` of its own and the rest of `images`'.

    Schneider et al. 2020 (arXiv 2006.16971): with few target images their statistics alone are too noisy. `model` is unchanged.
    """
    mixed = adapt_batch_norm(model, images, batch_size=batch_size, device=device)
    for own, norm in zip(model.modules(), mixed.modules(), strict=True):
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for name in ("running_mean", "running_var"):
                getattr(norm, name).lerp_(getattr(own, name), source_share)
    return mixed


def grey_histogram(images: np.ndarray, *, keep_black: bool = True) -> np.ndarray:
    """Share of each grey level [256] over uint8 `images`; with `keep_black` level 0, letterbox and mask, counts as none.

    InputError for images of another type.
    """
    if images.dtype != np.uint8:
        raise InputError("images", described(images), "give grey levels from 0 to 255 as uint8")
    counts = np.zeros(_LEVELS)
    for start in range(
        0, len(images), _BLOCK
    ):  # blockwise: images may be on disk, and bincount needs eight bytes a pixel
        counts += np.bincount(np.asarray(images[start : start + _BLOCK], dtype=np.uint8).ravel(), minlength=_LEVELS)
    if keep_black:
        counts[0] = 0
    return counts / max(counts.sum(), 1.0)


def match_histogram(images: np.ndarray, reference: np.ndarray, *, keep_black: bool = True) -> np.ndarray:
    """uint8 `images` [N, H, W], each with its grey levels moved so that its histogram becomes `reference` [256].

    InputError for images of another type.
    """
    check_grey_levels(images, least=0)
    matched = np.empty_like(images)
    for index, image in enumerate(images):
        matched[index] = _table(grey_histogram(image, keep_black=keep_black), reference, keep_black)[image]
    return matched


def _table(histogram: np.ndarray, reference: np.ndarray, keep_black: bool) -> np.ndarray:
    """New level of each old level [256]: the one at the same quantile."""
    present = np.flatnonzero(reference)
    if len(present) == 0 or histogram.sum() == 0:
        return np.arange(_LEVELS, dtype=np.uint8)
    levels = np.interp(np.cumsum(histogram), np.cumsum(reference)[present], present)
    table = np.rint(levels).astype(np.uint8)
    if keep_black:
        table[0] = 0
    return table


@dataclass(frozen=True)
class EntropyAdapted(Generic[Model]):
    """A model after entropy steps: how many were kept, and why no more; `stopped` is None when all were."""

    model: Model
    steps: int
    stopped: str | None


def has_batch_norm(model: nn.Module) -> bool:
    """Whether the model has batch-norm statistics to re-estimate."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def has_norms(model: nn.Module) -> bool:
    """Whether the model has scales and offsets of norms, which entropy steps change."""
    return bool(_norm_parameters(model))


def adapt_entropy(
    model: Model,
    images: np.ndarray,
    class_shares: np.ndarray,
    *,
    steps: int = 8,
    lr: float = 1e-3,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> EntropyAdapted[Model]:
    """Entropy minimisation over the scales and offsets of norms (Tent, Wang et al. 2021) on a copy of `model`, behind a collapse guard.

    `images` uint8 [N, H, W] are unlabelled; `class_shares` [K] those of the training set. Batch-norm statistics are first those of the
    images. The guard looks at all images after every step: a step after which the mean share of some class is below a third of what it
    was before the first, or of its share in training where that is smaller, is undone and ends the adaptation; so is one
    whose loss is not finite. Entropy alone would end in one class for all images.
    """
    adapted = adapt_batch_norm(model, images, batch_size=batch_size, device=device)
    parameters = _norm_parameters(adapted)
    if not parameters:
        return EntropyAdapted(adapted, 0, "the model has no norm with a scale or an offset")
    for parameter in adapted.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    batches = _blocks(images, batch_size)
    optimizer = eager(torch.optim.Adam)(parameters, lr=lr)
    floor = _GUARD_SHARE * np.minimum(_mean_shares(adapted, batches, device), class_shares)
    done, stopped = 0, None
    for step in range(steps):
        before = [parameter.detach().clone() for parameter in parameters]
        loss = _entropy_loss(adapted, batches[step % len(batches)], device)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares = _mean_shares(adapted, batches, device)
        if not (torch.isfinite(loss) and np.isfinite(shares).all()) or (shares < floor).any():
            with torch.no_grad():
                for parameter, value in zip(parameters, before, strict=True):
                    parameter.copy_(value)
            stopped = f"step {step + 1} would bring the class shares to {', '.join(f'{one:.2f}' for one in shares)}"
            break
        done += 1
    for parameter in parameters:
        parameter.requires_grad_(False)
    return EntropyAdapted(adapted.eval(), done, stopped)


def _norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return [
        parameter for module in model.modules() if isinstance(module, norms) for parameter in module.parameters(False)
    ]


def _blocks(images: np.ndarray, size: int) -> list[np.ndarray]:
    edges = np.linspace(0, len(images), math.ceil(len(images) / size) + 1).astype(int)
    return [np.ascontiguousarray(images[start:stop]) for start, stop in pairwise(edges)]


def _entropy_loss(model: nn.Module, block: np.ndarray, device: str | torch.device) -> torch.Tensor:
    log_p = torch.log_softmax(_forward(model, block, device), dim=1)
    return -(log_p.exp() * log_p).sum(1).mean()


@torch.no_grad()
def _mean_shares(model: nn.Module, batches: list[np.ndarray], device: str | torch.device) -> np.ndarray:
    """Mean probability of each class [K] over all images."""
    return torch.cat([_forward(model, block, device).softmax(1) for block in batches]).mean(0).double().cpu().numpy()


def _forward(model: nn.Module, block: np.ndarray, device: str | torch.device) -> torch.Tensor:
    return model(torch.from_numpy(block).to(device).unsqueeze(1).float().div_(255)).float()
