"""When a prediction is right, and the losses that attacks maximise: one class of K, or K labels that must all be right.

N images, K logits. Labels are int64 [N] (classes) or 0/1 [N, K] (multi-label), where NaN is not known and never counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def is_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images [n] are predicted right: arg max for classes, every label's sign for multi-label; NaN is never right."""
    if labels.ndim == 1:
        right = logits.argmax(dim=1) == labels
    else:
        right = (((logits > 0) == (labels > 0)) | labels.isnan()).all(dim=1)
    return right & torch.isfinite(logits).all(dim=1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross-entropy per image [n]; for multi-label the sum of the binary ones."""
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels, reduction="none")
    unknown = labels.isnan()
    # Replaced before the loss, not after: in the backward pass NaN times zero is NaN.
    loss = F.binary_cross_entropy_with_logits(logits, labels.masked_fill(unknown, 0).to(logits.dtype), reduction="none")
    return loss.masked_fill(unknown, 0).sum(dim=1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Best wrong logit minus the right one, per image [n]: positive when broken.

    Defined from two classes on, where DLR (third-largest logit in its denominator) is not. Multi-label: minus the signed
    logit of the least certain label, so it turns positive with the first wrong label.
    """
    if labels.ndim == 1:
        right = logits.gather(1, labels[:, None]).squeeze(1)
        return logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - right
    unknown = labels.isnan()
    signed = (2 * labels.masked_fill(unknown, 0).to(logits.dtype) - 1) * logits
    return (-signed).masked_fill(unknown, -torch.inf).amax(dim=1)


LOSSES = {"ce": cross_entropy, "margin": margin}
