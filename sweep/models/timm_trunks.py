"""timm networks as backbones: whole ones by any timm name, and residual ones cut after a layer."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from torch import nn

from sweep.core.errors import InputError, first_line
from sweep.models.hub import from_hub
from sweep.models.trunk import MESSAGE_LETTERS, PooledMaps, Trunk

_CUT = re.compile(r"(?P<name>.+)_(?P<layer>layer[1-4])")


def in_timm(name: str) -> bool:
    """Whether timm has a network of this name and, if given, this tag (`resnet50.a1_in1k`)."""
    import timm

    try:
        return timm.is_model(name) and timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # a known network with an unknown tag
        return False


def cut_of(name: str) -> tuple[str, int] | None:
    """`resnet18_layer3` -> ("resnet18", 3); None when `name` is no cut network."""
    match = _CUT.fullmatch(name)
    # Only residual networks call their stages layer1 to layer4.
    if match and "resne" in match["name"] and in_timm(match["name"]):
        return match["name"], int(match["layer"][-1])
    return None


def timm_trunk(name: str, image_px: int, pretrained: bool, **options: Any) -> Trunk:
    """The timm network `name` without its classifier; one that is built for a picture size is built for `image_px`."""
    import timm

    published = timm.get_pretrained_cfg(name)
    if published.fixed_input_size:
        options.setdefault("img_size", image_px)
    module = _create(name, pretrained, num_classes=0, **options)
    heads = published.classifier or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return Trunk(module, module, tuple(published.mean), tuple(published.std), head_prefixes=heads)


def timm_cut(name: str, layer: int, pretrained: bool, **options: Any) -> Trunk:
    """The timm residual network `name` up to `layer` (1 to 4), globally averaged."""
    import timm

    published = timm.get_pretrained_cfg(name)
    body = _create(name, pretrained, features_only=True, out_indices=(layer,), **options)
    cut = tuple(f"layer{k}" for k in range(layer + 1, 5))
    return Trunk(PooledMaps(body), body, tuple(published.mean), tuple(published.std), ("fc",), cut)


def _create(name: str, pretrained: bool, **options: Any) -> nn.Module:
    import timm

    make = partial(timm.create_model, name, pretrained=pretrained, **options)
    if pretrained:
        return from_hub(name, make)
    try:
        return make()
    except (AssertionError, ValueError, RuntimeError) as mistake:
        problem = f"cannot be built ({first_line(mistake, MESSAGE_LETTERS)})"
        raise InputError(f"backbone {name}", problem, "change data.image_px") from None
