"""Summary of a sweep over epsilons: accuracy and AUROC under attack, median breaking epsilon, crossing with the constant predictor."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    """Area under the ROC curve when every broken image gets the lowest rank that its own class can have; NaN where no class has both kinds.

    The attacker who breaks an image is credited with moving it past all images of the other kind, so this is a lower bound of the
    AUROC under attack; at epsilon 0 clean mistakes keep their scores and it is the clean AUROC. With more than two classes the mean of one
    class against the rest, with several findings the mean over them: a broken image counts as lost for each.
    """
    value = result.on_grid(epsilon)
    broken = (result.breaking(threat) <= value) & (value > 0)
    areas = []
    for score, positive, known in _binary_tasks(result.logits.double(), result.labels):
        ranked = torch.where(broken[known], torch.where(positive, -torch.inf, torch.inf), score)
        areas.append(_auroc(ranked[positive], ranked[~positive]))
    defined = [area for area in areas if not math.isnan(area)]
    return sum(defined) / len(defined) if defined else float("nan")


def _binary_tasks(logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(score [m], is positive [m], which images [N]) of each binary task: one for two classes, one against the rest, or one a finding."""
    everyone = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    if labels.ndim == 2:
        for k in range(labels.shape[1]):
            known = ~labels[:, k].isnan() if labels.is_floating_point() else everyone
            yield logits[known, k], labels[known, k] == 1, known
    elif logits.shape[1] == 2:
        yield logits[:, 1] - logits[:, 0], labels == 1, everyone
    else:
        for k in range(logits.shape[1]):
            rest = torch.cat([logits[:, :k], logits[:, k + 1 :]], dim=1).logsumexp(dim=1)
            yield logits[:, k] - rest, labels == k, everyone


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
