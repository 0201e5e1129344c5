"""A model and uint8 images -> logits, and logits of several splits -> one flat dictionary of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from sweep.core.devices import float32_products
from sweep.core.errors import InputError
from sweep.core.grey_levels import check_grey_levels
from sweep.evaluation.domain_gap import domain_gap
from sweep.evaluation.metrics import classification_metrics


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module's mode is restored after it."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@torch.no_grad()
def predict(
    model: nn.Module, images: np.ndarray, batch_size: int = 64, device: str | torch.device = "cpu"
) -> np.ndarray:
    """Logits float32 [N, K] of uint8 images [N, H, W], in eval mode; the model's own mode is restored.

    Computed in float32 unless the caller has opened an autocast. InputError for images of another type or shape.
    """
    check_grey_levels(images, least=0)
    if batch_size < 1:
        raise InputError("batch_size", f"{batch_size}", "give at least 1")
    with eval_mode(model), float32_products(device, "ieee"):
        parts = [
            _logits(model, images[start : start + batch_size], device) for start in range(0, len(images), batch_size)
        ]
    # One transfer for all batches: each one would make the host wait for the GPU.
    return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 0), dtype=np.float32)


def evaluate(
    model: nn.Module,
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics named `<metric>/<split>` and logits per split; with splits "source" and "target" also their domain gap.

    A split is (uint8 images [N, H, W], labels).
    """
    logits = {name: predict(model, images, batch_size, device) for name, (images, _) in splits.items()}
    scores = {
        name: classification_metrics(logits[name], labels, logits[name].shape[1])
        for name, (_, labels) in splits.items()
    }
    metrics = {f"{metric}/{name}": value for name, found in scores.items() for metric, value in found.items()}
    if {"source", "target"} <= scores.keys():
        metrics |= domain_gap(scores["source"], scores["target"])
    return metrics, logits


def _logits(model: nn.Module, images: np.ndarray, device: str | torch.device) -> torch.Tensor:
    batch = torch.from_numpy(np.ascontiguousarray(images)).to(device, non_blocking=True)
    logits: torch.Tensor = model(batch.unsqueeze(1).float().div_(255)).float()
    return logits
