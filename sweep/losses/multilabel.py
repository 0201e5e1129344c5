"""Several findings in one image (CheXpert): labels that may be uncertain, and the loss over those that are known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sweep.core.errors import InputError, suggestion

CHEXPERT = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")  # the competition's five
UNCERTAIN = -1.0
POSITIVE_IN_MIX = frozenset({"Atelectasis", "Edema"})  # where counting doubt as a finding has proved better
POLICIES = ("ones", "zeros", "mix", "ignore")


def resolve_uncertain(labels: Tensor, policy: str = "mix", classes: Sequence[str] = CHEXPERT) -> Tensor:
    """Float labels [N, K] of 1, 0, -1 (uncertain) and NaN (not mentioned) -> targets of 1, 0 and NaN (not counted).

    Not mentioned counts as absent. Uncertain becomes 1 (`ones`), 0 (`zeros`), 1 for Atelectasis and Edema and 0
    otherwise (`mix`), or is left out of the loss (`ignore`). Raises InputError for another policy or another label.
    """
    if policy not in POLICIES:
        raise InputError("uncertain_policy", f"unknown value {policy!r}", suggestion(policy, POLICIES))
    if labels.shape[-1] != len(classes):
        raise InputError("labels", f"{labels.shape[-1]} columns for {len(classes)} classes", "give one column a class")
    targets = torch.nan_to_num(labels.float(), nan=0.0)
    strange = targets[(targets != 0) & (targets != 1) & (targets != UNCERTAIN)]
    if len(strange):
        raise InputError("labels", f"value {strange[0].item():g}", "write 1, 0, -1 for uncertain, or leave it empty")
    fill = {
        "ones": torch.ones(len(classes)),
        "zeros": torch.zeros(len(classes)),
        "mix": torch.tensor([float(name in POSITIVE_IN_MIX) for name in classes]),
        "ignore": torch.full((len(classes),), torch.nan),
    }[policy].to(targets.device)
    return torch.where(targets == UNCERTAIN, fill, targets)


def multilabel_loss(logits: Tensor, targets: Tensor, positive_weight: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of logits [N, K] over the targets that are not NaN; zero when none is known.

    `positive_weight` [K] multiplies the loss of present findings, e.g. the ratio of absent to present ones.
    """
    known = ~targets.isnan()
    # Replaced before the loss, not after: NaN times zero would still poison the gradient.
    filled = torch.where(known, targets, 0.0).to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, filled, pos_weight=positive_weight, reduction="none")
    return (each * known).sum() / known.sum().clamp_min(1)


def positive_weights(targets: Tensor, limit: float = 20.0) -> Tensor:
    """Absent over present among known targets [N, K], per class [K], within 1/limit and limit."""
    present, known = (targets == 1).sum(0), (~targets.isnan()).sum(0)
    return ((known - present) / present.clamp_min(1)).clamp(1 / limit, limit)
