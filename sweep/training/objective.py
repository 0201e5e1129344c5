"""Logits and labels -> the loss to minimise: cross-entropy or, for several labels per image, binary cross-entropy.

Class weights and focal weights multiply the per-image loss; unknown labels (NaN) of a multi-label image are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional

from sweep.core.errors import InputError
from sweep.training.recipe import Recipe

_MOST_WEIGHT = 20.0  # beyond it a few positive images would dominate the gradient


@dataclass(frozen=True)
class Objective:
    """The classification loss of one run; `class_weights` [K] is None when all classes weigh the same."""

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: torch.Tensor | None = None

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scalar loss of logits [N, K] against class numbers [N] or multi-label floats [N, K] with NaN = unknown."""
        logits, labels = logits.float(), checked_labels(labels)
        if labels.ndim == 2:
            return self._multi_label(logits, labels)
        if self.focal_gamma == 0:
            return functional.cross_entropy(logits, labels, self.class_weights, label_smoothing=self.label_smoothing)
        return self._focal(logits, labels)

    def _focal(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing, reduction="none")
        truth = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
        weight = torch.ones_like(loss) if self.class_weights is None else self.class_weights[labels]
        return (weight * (1 - truth) ** self.focal_gamma * loss).sum() / weight.sum()

    def _multi_label(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        known = ~torch.isnan(labels)
        truth = labels.masked_fill(~known, 0.0)
        smooth = truth * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        loss = functional.binary_cross_entropy_with_logits(
            logits, smooth, reduction="none", pos_weight=self.class_weights
        )
        if self.focal_gamma:
            right = torch.where(truth > 0.5, logits.sigmoid(), 1 - logits.sigmoid())
            loss = loss * (1 - right) ** self.focal_gamma
        return loss.masked_fill(~known, 0.0).sum() / known.sum().clamp(min=1)


def checked_labels(labels: torch.Tensor) -> torch.Tensor:
    """Class numbers as int64 [N], 0/1 labels as floats [N, K]; InputError for class numbers that are not integers."""
    if labels.ndim == 2:
        return labels if labels.is_floating_point() else labels.float()
    if labels.is_floating_point() or labels.is_complex():
        raise InputError("labels", f"type {labels.dtype}", "give class numbers as integers: labels.long()")
    return labels.long()


@dataclass(frozen=True)
class Target:
    """The labels of one batch; under mixup each image has two, weighted by `share`."""

    objective: Objective
    labels: torch.Tensor
    partner: torch.Tensor | None = None
    share: float = 1.0

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Scalar loss of logits [N, K]."""
        own = self.objective(logits, self.labels)
        if self.partner is None:
            return own
        return self.share * own + (1 - self.share) * self.objective(logits, self.partner)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.labels.ndim == 2


def build_objective(recipe: Recipe, weights: torch.Tensor | None, device: torch.device) -> Objective:
    """The loss of `recipe`, with class weights [K] or none."""
    weights = None if weights is None else weights.to(device)
    return Objective(recipe.label_smoothing, recipe.focal_gamma, weights)


def balanced_weights(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Weights [K] that give each class the same total weight; for multi-label, negatives per positive of each label, 20 at most."""
    labels = checked_labels(labels)
    if labels.ndim == 2:
        positive = (labels == 1).sum(0).clamp(min=1)
        return ((labels == 0).sum(0).clamp(min=1) / positive).clamp(1 / _MOST_WEIGHT, _MOST_WEIGHT)
    counts = torch.bincount(labels, minlength=num_classes).clamp(min=1)
    return len(labels) / (num_classes * counts.float())
