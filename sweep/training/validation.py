"""Source validation after an epoch: the criterion of early stopping and of the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from sweep.core.errors import Diverged
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import classification_metrics
from sweep.training.precision import autocast

_KEPT = {"auroc": "auroc", "accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "log_loss": "loss"}


def validate(
    model: nn.Module,
    val: tuple[np.ndarray, np.ndarray],
    *,
    device: torch.device,
    precision: str,
    batch_size: int,
    step: int,
) -> dict[str, float]:
    """Metrics named `<metric>/source_val` in the precision of training. Raises Diverged when a logit is not finite."""
    images, labels = val
    with autocast(device, precision):
        logits = predict(model, images, batch_size, device)
    if not np.isfinite(logits).all():
        raise Diverged("validation", step, float(logits[~np.isfinite(logits)][0]))
    metrics = classification_metrics(logits, labels, logits.shape[1])
    return {f"{name}/source_val": metrics[metric] for metric, name in _KEPT.items()}


def score(metrics: Mapping[str, float]) -> list[float]:
    """Selection score, larger is better: AUROC, ties broken by the lower loss; accuracy where AUROC is undefined."""
    auroc = metrics["auroc/source_val"]
    first = metrics["accuracy/source_val"] if math.isnan(auroc) else auroc
    return [first, -metrics["loss/source_val"]]
