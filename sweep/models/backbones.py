"""Backbones by name: own networks, rows that timm lacks, timm networks cut after a layer, and any timm name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError, suggestion
from sweep.models.hub import from_hub
from sweep.models.small_cnn import SmallCNN

GREY_MEAN, GREY_STD = (0.5028,), (0.2902,)  # grey radiographs, Morra et al.; also for networks without a published one
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CUT = re.compile(r"(?P<name>.+)_(?P<layer>layer[1-4])")


@dataclass(frozen=True)
class Trunk:
    """A backbone without its classifier: `module` maps pictures [N, 3, H, W] to features [N, F].

    `body` is the part whose names a weights file uses; `head_prefixes` and `cut_prefixes` are the file's keys that this
    trunk has no use for; `mean` and `std` are the published input statistics of the colours.
    """

    module: nn.Module
    body: nn.Module
    mean: tuple[float, ...] = GREY_MEAN
    std: tuple[float, ...] = GREY_STD
    head_prefixes: tuple[str, ...] = ()
    cut_prefixes: tuple[str, ...] = ()


class PooledMaps(nn.Module):
    """Global average of the last feature map of `body`: [N, 3, H, W] -> [N, C]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.body(pictures)
        return (maps[-1] if isinstance(maps, (list, tuple)) else maps).mean((2, 3))


def _small_cnn(image_px: int, pretrained: bool, **options: Any) -> Trunk:
    _has_no_published_weights("small_cnn", pretrained)
    module = SmallCNN(**options)
    return Trunk(module, module)


def _squeezenet(version: str) -> Callable[..., Trunk]:
    def build(image_px: int, pretrained: bool, **options: Any) -> Trunk:
        from torchvision.models import get_model

        name = f"squeezenet{version}"
        make = partial(get_model, name, weights="DEFAULT" if pretrained else None, **options)
        net = from_hub(name, make) if pretrained else make()
        body = nn.Sequential()
        body.add_module("features", net.features)
        return Trunk(PooledMaps(body), body, IMAGENET_MEAN, IMAGENET_STD, head_prefixes=("classifier",))

    return build


BACKBONES: dict[str, Callable[..., Trunk]] = {
    "small_cnn": _small_cnn,
    "torchvision:squeezenet1_0": _squeezenet("1_0"),
    "torchvision:squeezenet1_1": _squeezenet("1_1"),
}


def known_backbone(name: str) -> bool:
    """Whether `build_trunk` can make it: an own row, a timm name (with a valid tag), or one cut as in resnet18_layer3."""
    return name in BACKBONES or _in_timm(name) or _cut_of(name) is not None


def build_trunk(name: str, *, image_px: int, pretrained: bool = False, **options: Any) -> Trunk:
    """The backbone `name` for pictures of `image_px`, from the global torch generator, or with its ImageNet weights.

    Raises InputError for an unknown name or option, and when the hub cannot be reached.
    """
    try:
        if name in BACKBONES:
            return BACKBONES[name](image_px, pretrained, **options)
        if _in_timm(name):
            return _timm(name, image_px, pretrained, **options)
        if cut := _cut_of(name):
            return _timm_cut(*cut, pretrained, **options)
    except TypeError as mistake:
        raise InputError(f"backbone {name}", f"does not take {sorted(options)}", f"remove them ({mistake})") from None
    import timm

    raise InputError("backbone", f"unknown name {name!r}", suggestion(name, [*BACKBONES, *timm.list_models()]))


def feature_count(name: str, module: nn.Module, image_px: int) -> int:
    """Features that `module` gives for one picture of `image_px`; InputError when it cannot take that size."""
    training = module.training
    try:
        with torch.no_grad():
            features = module.eval()(torch.zeros(1, 3, image_px, image_px))
    except (RuntimeError, AssertionError, ValueError) as mistake:
        reason = (str(mistake).splitlines() or [type(mistake).__name__])[0][:120]
        raise InputError(
            f"backbone {name}", f"cannot take pictures of {image_px} px ({reason})", "change data.image_px; 224 suits most"
        ) from None
    finally:
        module.train(training)
    if features.ndim != 2:
        raise InputError(
            f"backbone {name}", f"gives {features.ndim} axes instead of [N, features]", "choose a classification network"
        )
    return features.shape[1]


def _has_no_published_weights(name: str, pretrained: bool) -> None:
    if pretrained:
        raise InputError(f"backbone {name}", "has no ImageNet weights", "leave weights out, or give a path")


def _in_timm(name: str) -> bool:
    import timm

    try:
        return timm.is_model(name) and timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # a known network with an unknown tag
        return False


def _cut_of(name: str) -> tuple[str, str] | None:
    match = _CUT.fullmatch(name)
    # Only residual networks call their stages layer1 to layer4.
    if match and "resne" in match["name"] and _in_timm(match["name"]):
        return match["name"], match["layer"]
    return None


def _timm(name: str, image_px: int, pretrained: bool, **options: Any) -> Trunk:
    import timm

    published = timm.get_pretrained_cfg(name)
    if published.fixed_input_size:
        options.setdefault("img_size", image_px)
    make = partial(timm.create_model, name, pretrained=pretrained, num_classes=0, **options)
    try:
        module = from_hub(name, make) if pretrained else make()
    except (AssertionError, ValueError, RuntimeError) as mistake:
        raise InputError(f"backbone {name}", f"cannot be built for {image_px} px ({mistake})", "change data.image_px") from None
    classifier = published.classifier or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return Trunk(module, module, tuple(published.mean), tuple(published.std), head_prefixes=heads)


def _timm_cut(name: str, layer: str, pretrained: bool, **options: Any) -> Trunk:
    import timm

    published, index = timm.get_pretrained_cfg(name), int(layer[-1])
    make = partial(
        timm.create_model, name, pretrained=pretrained, features_only=True, out_indices=(index,), **options
    )
    body = from_hub(name, make) if pretrained else make()
    cut = tuple(f"layer{k}" for k in range(index + 1, 5))
    return Trunk(
        PooledMaps(body), body, tuple(published.mean), tuple(published.std), ("fc",), cut_prefixes=cut
    )
