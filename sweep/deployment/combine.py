"""Seeds of one configuration as one model: an ensemble that averages probabilities, or a soup that averages weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError
from sweep.models.classifier import Classifier
from sweep.training.parts import has_learned_colorizer

ONE, ENSEMBLE, SOUP = "one seed", "ensemble", "soup"
_SMALLEST = 1e-12  # probability whose logarithm is taken; float32 knows smaller ones, but not one minus them


class Ensemble(nn.Module):
    """Several classifiers as one: logits whose softmax (or sigmoid each) is the mean of the members' probabilities.

    float [N, 1, H, W] in [0, 1] -> [N, K]. Features are those of the first member.
    """

    def __init__(self, members: Sequence[Classifier], multi_label: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.multi_label = multi_label

    @property
    def first(self) -> Classifier:
        """The first member."""
        member = self.members[0]
        assert isinstance(member, Classifier)
        return member

    def features(self, grey: Tensor) -> Tensor:
        """The first member's features [N, F]."""
        return self.first.features(grey)

    def forward(self, grey: Tensor) -> Tensor:
        return mean_logits(torch.stack([member(grey) for member in self.members]), self.multi_label)


def mean_logits(logits: Tensor, multi_label: bool) -> Tensor:
    """Logits [N, K] of the mean probability over the members' logits [M, N, K]."""
    if not multi_label:
        return logits.softmax(dim=2).mean(dim=0).clamp_min(_SMALLEST).log()
    probability = logits.sigmoid().mean(dim=0).clamp(_SMALLEST, 1 - 1e-6)
    return probability.log() - (1 - probability).log()


def check_shared_start(config: Mapping[str, Any], model: Classifier) -> None:
    """InputError unless the seeds of a configuration start from the same weights, without which their mean is no model.

    Wortsman et al. 2022, section 3: models fine-tuned from one pretrained network lie in one basin. The new linear head may differ between
    seeds: where the features agree, the mean of the heads gives the mean of the logits.
    """
    fix = "export an ensemble instead: --combine ensemble"
    if config.get("weights") is None:
        raise InputError("--combine soup", "the seeds start from different random weights (weights: null)", fix)
    if has_learned_colorizer(model) and not config.get("colorizer_from"):
        raise InputError("--combine soup", "each seed starts its colorizer from weights of its own", fix)


def soup(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over the state dicts; tensors of whole numbers (counters) are those of the first."""
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }
