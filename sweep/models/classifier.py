"""One model for all arms: grey image in [0, 1] -> colour -> backbone -> logits, with everything in between inside.

An attacker therefore meets the same one-channel threat model whatever the colorizer or the normalisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError
from sweep.core.seeds import named_seed
from sweep.models.backbones import build_trunk
from sweep.models.colorizers import COLORIZERS, build_colorizer
from sweep.models.trunk import GREY_MEAN, GREY_STD, Trunk, feature_count
from sweep.models.weights import WeightsReport, load_weights

PARTS = ("colorizer", "backbone", "head")
FROZEN_BN = ("eval", "train")
INPUT_NORMS = ("published", "grey")


class Standardise(nn.Module):
    """`(x - mean) / std` by channel; one value serves all channels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """[N, 1, H, W] in [0, 1] -> logits [N, K].

    A learned colorizer sees standardised grey and its unbounded output goes straight into the backbone; a fixed one
    sees the plain image and its colours are standardised, by the backbone's published statistics or by the grey ones that a
    learned colorizer's input has. `weights_report` says which tensors are not pretrained.
    """

    def __init__(
        self, colorizer: nn.Module, backbone: nn.Module, head: nn.Module, *, before: nn.Module, after: nn.Module,
        weights_report: WeightsReport,
    ) -> None:  # fmt: skip
        super().__init__()
        self.before, self.colorizer, self.after = before, colorizer, after
        self.backbone, self.head = backbone, head
        self.weights_report = weights_report
        self.frozen_bn = "eval"

    def colorize(self, grey: Tensor) -> Tensor:
        """The colour picture [N, 3, H, W] of a grey image [N, 1, H, W], before any colour standardisation."""
        return self.colorizer(self.before(grey))

    def features(self, grey: Tensor) -> Tensor:
        """What the head sees: [N, F]."""
        return self.backbone(self.after(self.colorize(grey)))

    def forward(self, grey: Tensor) -> Tensor:
        return self.head(self.features(grey))

    def classify_colors(self, colors: Tensor) -> Tensor:
        """Logits of pictures that `colorize` has made, for a loss that needs both without colorizing twice."""
        return self.head(self.backbone(self.after(colors)))

    def trainable(self, parts: Iterable[str], frozen_bn: str = "eval") -> Classifier:
        """Let exactly `parts` learn and freeze the others; returns self.

        Batch normalisation of a frozen part keeps its statistics (`eval`) or follows the batches (`train`).
        """
        chosen = _checked_parts(parts)
        if frozen_bn not in FROZEN_BN:
            raise InputError("frozen_bn", f"unknown value {frozen_bn!r}", f"write one of {', '.join(FROZEN_BN)}")
        self.frozen_bn = frozen_bn
        for part in PARTS:
            getattr(self, part).requires_grad_(part in chosen)
        return self.train(self.training)

    def freeze(self, *parts: str, frozen_bn: str = "eval") -> Classifier:
        """Freeze `parts` and let the others learn; returns self."""
        frozen = _checked_parts(parts)
        return self.trainable([part for part in PARTS if part not in frozen], frozen_bn)

    def train(self, mode: bool = True) -> Classifier:
        """As usual, except that frozen parts keep their batch statistics unless `frozen_bn` says otherwise."""
        super().train(mode)
        if mode and self.frozen_bn == "eval":
            for module in self._frozen_norms():
                module.eval()
        return self

    def _frozen_norms(self) -> Iterator[nn.Module]:
        for part in PARTS:
            parameters = list(getattr(self, part).parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                norms = getattr(self, part).modules()
                yield from (m for m in norms if isinstance(m, nn.modules.batchnorm._BatchNorm))


def build_classifier(
    *,
    backbone: str,
    colorizer: str = "none",
    num_classes: int,
    image_px: int,
    weights: str | None = None,
    dropout: float = 0.0,
    input_norm: str = "published",
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    colorizer_options: Mapping[str, Any] | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    seed: int,
) -> Classifier:
    """A classifier with its parts drawn from `seed`; the same seed gives the same head under every colorizer.

    `weights` is None (random), "imagenet" (timm's hub) or a local path. A learned colorizer's grey input is standardised
    with GREY_MEAN and GREY_STD; the colours of a fixed one with the statistics that the backbone was published with
    (`input_norm` "published"), or with the same grey ones for each channel ("grey", as Morra et al. feed their baseline).
    `mean`/`std` replace these values. Raises InputError for unknown names, sizes a backbone cannot take, and weights
    that do not fit.
    """
    with _seeded(seed, "colorizer"):
        colors = build_colorizer(colorizer, **dict(colorizer_options or {}))
    with _seeded(seed, "backbone"):
        trunk = build_trunk(
            backbone, image_px=image_px, pretrained=weights == "imagenet", **dict(backbone_options or {})
        )
    features = feature_count(backbone, trunk, image_px)
    with _seeded(seed, "head"):
        head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))
    before, after = _standardisers(COLORIZERS[colorizer].learned, trunk, input_norm, mean, std)
    report = _load(trunk, weights)
    model = Classifier(colors, trunk.module, head, before=before, after=after, weights_report=report)
    return _with_random_names(model, trunk)


def _standardisers(learned: bool, trunk: Trunk, input_norm: str, mean: Any, std: Any) -> tuple[nn.Module, nn.Module]:
    if input_norm not in INPUT_NORMS:
        raise InputError("input_norm", f"unknown value {input_norm!r}", f"write one of {', '.join(INPUT_NORMS)}")
    default_mean, default_std = (GREY_MEAN, GREY_STD) if learned or input_norm == "grey" else (trunk.mean, trunk.std)
    mean, std = _values(mean, default_mean), _values(std, default_std)
    if learned and (len(mean) > 1 or len(std) > 1):
        raise InputError("mean/std", f"{len(mean)} means for a grey image", "give one value each with this colorizer")
    standardise = Standardise(mean, std)
    return (standardise, nn.Identity()) if learned else (nn.Identity(), standardise)


def _values(given: float | Sequence[float] | None, default: Sequence[float]) -> tuple[float, ...]:
    if given is None:
        return tuple(default)
    return tuple(given) if isinstance(given, Sequence) else (float(given),)


def _load(trunk: Trunk, weights: str | None) -> WeightsReport:
    if weights is None:
        return WeightsReport("random initialisation", 0, ())
    if weights == "imagenet":
        return WeightsReport("imagenet", len(trunk.body.state_dict()), ())
    return load_weights(trunk.body, weights, head_prefixes=trunk.head_prefixes, cut_prefixes=trunk.cut_prefixes)


def _with_random_names(model: Classifier, trunk: Trunk) -> Classifier:
    """Complete the report: every learnable tensor that no published weights have touched."""
    known = {id(p) for p in trunk.body.parameters()} if model.weights_report.loaded else set()
    left = tuple(name for name, p in model.named_parameters() if id(p) not in known)
    model.weights_report = replace(model.weights_report, left_random=left)
    return model


def _checked_parts(parts: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(parts)
    for part in chosen:
        if part not in PARTS:
            raise InputError("trainable parts", f"unknown part {part!r}", f"known: {', '.join(PARTS)}")
    return chosen


@contextmanager
def _seeded(seed: int, purpose: str) -> Iterator[None]:
    """Draw initial weights from a seed of their own and leave the caller's generator untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named_seed(seed, "model", purpose))
        yield
