"""Summary of a sweep over epsilons: accuracy and AUROC under attack, median breaking epsilon, crossing with the constant predictor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sweep.attacks.result import EpsilonSweep
from sweep.core.epsilon import epsilon_name
from sweep.core.metric_table import WORST


@dataclass(frozen=True)
class ThreatOutcome:
    """One threat over the grid (epsilon 0 first): tuples run along `epsilons`.

    `median_breaking_epsilon` is over all images (inf when more than half stand at the largest). `crossing_epsilon`: the
    smallest epsilon at which accuracy is no better than the constant predictor's; inf when it stays above.
    """

    threat: str
    epsilons: tuple[float, ...]
    robust_accuracy: tuple[float, ...]
    robust_auroc: tuple[float, ...]
    median_breaking_epsilon: float
    constant_accuracy: float
    crossing_epsilon: float


def outcomes(result: EpsilonSweep) -> list[ThreatOutcome]:
    """One outcome per threat, and last the worst case over all of them."""
    names = [WORST] if result.worst_only else [*result.threats, WORST]
    return [_outcome(result, name) for name in names]


def metrics(result: EpsilonSweep, split: str) -> dict[str, float]:
    """The outcomes as named numbers, e.g. robust_accuracy/target/pgd20@2/255."""
    numbers = {}
    for one in outcomes(result):
        for epsilon, accuracy, auroc in zip(one.epsilons, one.robust_accuracy, one.robust_auroc, strict=True):
            at = f"{split}/{one.threat}@{epsilon_name(epsilon)}"
            numbers[f"robust_accuracy/{at}"] = accuracy
            numbers[f"robust_auroc/{at}"] = auroc
        numbers[f"median_breaking_epsilon/{split}/{one.threat}"] = one.median_breaking_epsilon
        numbers[f"crossing_epsilon/{split}/{one.threat}"] = one.crossing_epsilon
    return numbers


def robust_auroc(result: EpsilonSweep, threat: str, epsilon: str | float) -> float:
    """Area under the ROC curve when every broken image gets the lowest rank its own class can have; NaN outside two classes.

    The attacker who breaks an image is credited with moving it past the whole other class, so this is a lower bound of the
    AUROC under attack; at epsilon 0 clean mistakes keep their scores and it is the clean AUROC.
    """
    if result.labels.ndim != 1 or result.logits.shape[1] != 2:
        return float("nan")
    value = result.on_grid(epsilon)
    score = (result.logits[:, 1] - result.logits[:, 0]).double()
    positive = result.labels == 1
    broken = (result.breaking(threat) <= value) & (value > 0)
    score = torch.where(broken, torch.where(positive, -torch.inf, torch.inf), score)
    return _auroc(score[positive], score[~positive])


def _outcome(result: EpsilonSweep, threat: str) -> ThreatOutcome:
    grid = tuple(sorted({0.0, *result.epsilons}))
    accuracy = tuple(result.robust_accuracy(threat, epsilon) for epsilon in grid)
    constant = constant_accuracy(result.labels)
    crossing = next((e for e, value in zip(grid, accuracy, strict=True) if value <= constant), float("inf"))
    return ThreatOutcome(
        threat=threat,
        epsilons=grid,
        robust_accuracy=accuracy,
        robust_auroc=tuple(robust_auroc(result, threat, epsilon) for epsilon in grid),
        median_breaking_epsilon=_median(result.breaking(threat)),
        constant_accuracy=constant,
        crossing_epsilon=crossing,
    )


def constant_accuracy(labels: Tensor) -> float:
    """Accuracy of always predicting the most frequent class (for multi-label: the best combination of known labels)."""
    if labels.ndim == 1:
        return labels.unique(return_counts=True)[1].max().item() / len(labels)
    unknown = labels.isnan()
    commoner = (labels.nanmean(dim=0) > 0.5).to(labels.dtype) if labels.is_floating_point() else labels[0]
    combinations = torch.where(unknown, commoner, labels).unique(dim=0)
    return max(((labels == answer) | unknown).all(dim=1).double().mean().item() for answer in combinations)


def _median(values: Tensor) -> float:
    """Middle value; of two middle ones the larger, so that it is inf only when half of the images or more stand."""
    return values.sort().values[len(values) // 2].item()


def _auroc(positive: Tensor, negative: Tensor) -> float:
    """Share of (positive, negative) pairs in the right order, ties counting half; NaN when a class is missing."""
    if not len(positive) or not len(negative):
        return float("nan")
    above = (positive[:, None] > negative[None]).double()
    tied = (positive[:, None] == negative[None]).double()
    return (above + tied / 2).mean().item()
