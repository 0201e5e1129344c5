"""The classifier of every configuration: grey image in [0, 1] -> colorizer -> backbone -> logits.

Standardisation and colorization are inside the model, so that all configurations are attacked under one threat model: the
one-channel image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError
from sweep.core.seeds import named_seed
from sweep.models.backbones import build_trunk
from sweep.models.colorizers import COLORIZERS, build_colorizer
from sweep.models.input_checks import check_grey
from sweep.models.lora import add_adapters
from sweep.models.trunk import GREY_MEAN, GREY_STD, Trunk, feature_count
from sweep.models.weights import WeightsReport, load_weights

PARTS = ("colorizer", "backbone", "head")
FROZEN_BN = ("eval", "train")
INPUT_NORMS = ("published", "grey")


class Standardise(nn.Module):
    """`(x - mean) / std` by channel; one value serves all channels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
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
        self,
        colorizer: nn.Module,
        backbone: nn.Module,
        head: nn.Module,
        *,
        before: nn.Module,
        after: nn.Module,
        weights_report: WeightsReport,
    ) -> None:
        super().__init__()
        self.before, self.colorizer, self.after = before, colorizer, after
        self.backbone, self.head = backbone, head
        self.weights_report = weights_report
        self.frozen_bn = "eval"

    def colorize(self, grey: Tensor) -> Tensor:
        """The colour picture [N, 3, H, W] of a grey image [N, 1, H, W], before any colour standardisation.

        InputError for another shape, and for another floating-point type than the weights' outside an autocast.
        """
        check_grey(grey, next(self.parameters()).dtype)
        return self.colorizer(self.before(grey))

    def features(self, grey: Tensor) -> Tensor:
        """The backbone's features, input of the head: [N, F]."""
        return self.backbone(self.after(self.colorize(grey)))

    def forward(self, grey: Tensor) -> Tensor:
        return self.head(self.features(grey))

    def classify_colors(self, colors: Tensor) -> Tensor:
        """Logits of pictures from `colorize`, for a loss that needs both without colorizing twice."""
        return self.head(self.backbone(self.after(colors)))

    def trainable(self, parts: Iterable[str], frozen_bn: str = "eval") -> Classifier:
        """Train exactly `parts` and freeze the others; returns self.

        Batch normalisation of a frozen part keeps its statistics (`eval`) or follows the batches (`train`).
        """
        chosen = _checked_parts(parts)
        if frozen_bn not in FROZEN_BN:
            raise InputError("frozen_bn", f"unknown value {frozen_bn!r}", f"write one of {', '.join(FROZEN_BN)}")
        self.frozen_bn = frozen_bn
        for part in PARTS:
            module = getattr(self, part)
            fixed = getattr(module, "fixed_names", ())
            for name, weight in module.named_parameters():
                weight.requires_grad_(part in chosen and name not in fixed)
        return self.train(self.training)

    def freeze(self, *parts: str, frozen_bn: str = "eval") -> Classifier:
        """Freeze `parts` and train the others; returns self."""
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
            module = getattr(self, part)
            norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            yield from norms if _is_frozen(module) else filter(_is_frozen, norms)


def _is_frozen(module: nn.Module) -> bool:
    """Whether a module has weights and none of them trains."""
    weights = list(module.parameters())
    return bool(weights) and not any(weight.requires_grad for weight in weights)


@dataclass(frozen=True)
class ClassifierSpec:
    """The architecture of a classifier: its parts by name, their options, and how its input is standardised.

    A learned colorizer's grey input is standardised with GREY_MEAN and GREY_STD; the colours of a fixed one with the
    statistics that the backbone was published with (`input_norm` "published"), or with the grey ones for each channel
    ("grey", as Morra et al. feed their baseline). `mean` and `std` replace these values. `colorizer_options` and
    `backbone_options` go to the constructors of the parts. With a `lora_rank` above 0 the backbone trains through low-rank adapters.
    """

    backbone: str
    num_classes: int
    image_px: int
    colorizer: str = "none"
    dropout: float = 0.0
    input_norm: str = "published"
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    lora_rank: int = 0
    lora_alpha: float = 16.0
    colorizer_options: Mapping[str, Any] = field(default_factory=dict)
    backbone_options: Mapping[str, Any] = field(default_factory=dict)


def build_classifier(spec: ClassifierSpec, weights: str | None = None, *, seed: int) -> Classifier:
    """The classifier of `spec`, initialised from `seed`; the same seed gives the same head under every colorizer.

    `weights` is None (random), "imagenet" (timm's hub) or a local path. Raises InputError for unknown names, sizes a
    backbone cannot take, and weights that do not fit.
    """
    if isinstance(spec.num_classes, bool) or not isinstance(spec.num_classes, int) or spec.num_classes < 1:
        raise InputError("num_classes", f"{spec.num_classes!r}", "give a whole number from 1")
    with _seeded(seed, "colorizer"):
        colors = build_colorizer(spec.colorizer, **spec.colorizer_options)
    with _seeded(seed, "backbone"):
        pretrained = weights == "imagenet"
        trunk = build_trunk(spec.backbone, image_px=spec.image_px, pretrained=pretrained, **spec.backbone_options)
    features = feature_count(spec.backbone, trunk, spec.image_px)
    with _seeded(seed, "head"):
        head = nn.Sequential(nn.Dropout(spec.dropout), nn.Linear(features, spec.num_classes))
    before, after = _standardisers(spec, trunk)
    report = _load(trunk, weights)
    known = {id(weight) for weight in trunk.body.parameters()} if report.loaded else set()
    if spec.lora_rank:
        with _seeded(seed, "adapters"):
            add_adapters(spec.backbone, trunk.module, spec.lora_rank, spec.lora_alpha)
    model = Classifier(colors, trunk.module, head, before=before, after=after, weights_report=report)
    return _with_random_names(model, known)


def _standardisers(spec: ClassifierSpec, trunk: Trunk) -> tuple[nn.Module, nn.Module]:
    """The modules before and after the colorizer, one of which standardises."""
    if spec.input_norm not in INPUT_NORMS:
        raise InputError("input_norm", f"unknown value {spec.input_norm!r}", f"write one of {', '.join(INPUT_NORMS)}")
    learned = COLORIZERS[spec.colorizer].learned
    grey = learned or spec.input_norm == "grey"
    default_mean, default_std = (GREY_MEAN, GREY_STD) if grey else (trunk.mean, trunk.std)
    mean, std = _values(spec.mean, default_mean), _values(spec.std, default_std)
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
    return load_weights(trunk.body, Path(weights), head_prefixes=trunk.head_prefixes, cut_prefixes=trunk.cut_prefixes)


def _with_random_names(model: Classifier, known: set[int]) -> Classifier:
    """Complete the report: every learnable tensor that is not one of the published weights, by their ids."""
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
    """Draw initial weights from a named seed and leave the caller's generator unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named_seed(seed, "model", purpose))
        yield
