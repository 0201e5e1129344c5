"""Backbones by name: own networks, rows that timm lacks, timm networks cut after a layer, and any timm name.

The table itself loads without torch and timm, whose imports take seconds: a sweep config is checked against its names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sweep.core.errors import InputError, suggestion

if TYPE_CHECKING:
    from sweep.models.trunk import Trunk


def _small_cnn(image_px: int, pretrained: bool, **options: Any) -> Trunk:
    from sweep.models.small_cnn import SmallCNN
    from sweep.models.trunk import Trunk

    _has_no_published_weights("small_cnn", pretrained)
    module = SmallCNN(**options)
    return Trunk(module, module)


def _cnn_transformer(image_px: int, pretrained: bool, **options: Any) -> Trunk:
    from sweep.models.cnn_transformer import CNNTransformer, dilated_resnet50
    from sweep.models.hub import from_hub
    from sweep.models.timm_trunks import timm_trunk
    from sweep.models.trunk import IMAGENET_MEAN, IMAGENET_STD, Trunk

    encoder, cut = dilated_resnet50(), ("layer4",)
    if pretrained:
        whole = from_hub("resnet50", partial(timm_trunk, "resnet50", image_px, True)).body.state_dict()
        encoder.load_state_dict({key: value for key, value in whole.items() if not key.startswith(cut)})
    module = CNNTransformer(encoder, 1024, image_px=image_px, **options)
    return Trunk(module, encoder, IMAGENET_MEAN, IMAGENET_STD, ("fc",), cut, module.d_model)


def _cnn_transformer_tiny(image_px: int, pretrained: bool, **options: Any) -> Trunk:
    from sweep.models.cnn_transformer import CNNTransformer, tiny_encoder
    from sweep.models.trunk import Trunk

    _has_no_published_weights("cnn_transformer_tiny", pretrained)
    settings = {"d_model": 128, "depth": 2, "dropout": 0.1} | options
    module = CNNTransformer(tiny_encoder(128), 128, image_px=image_px, **settings)
    return Trunk(module, module, features=module.d_model)


def _squeezenet(version: str, image_px: int, pretrained: bool, **options: Any) -> Trunk:
    from torch import nn
    from torchvision.models import get_model

    from sweep.models.hub import from_hub
    from sweep.models.trunk import IMAGENET_MEAN, IMAGENET_STD, PooledMaps, Trunk

    name = f"squeezenet{version}"
    make = partial(get_model, name, weights="DEFAULT" if pretrained else None, **options)
    net = from_hub(name, make) if pretrained else make()
    body = nn.Sequential()
    body.add_module("features", net.features)
    return Trunk(PooledMaps(body), body, IMAGENET_MEAN, IMAGENET_STD, head_prefixes=("classifier",))


BACKBONES: dict[str, Callable[..., Trunk]] = {
    "small_cnn": _small_cnn,
    "cnn_transformer": _cnn_transformer,
    "cnn_transformer_256": partial(_cnn_transformer, d_model=256),  # tokens projected, for under a thousand images
    "cnn_transformer_spatial": partial(_cnn_transformer, token="spatial"),
    "cnn_transformer_tiny": _cnn_transformer_tiny,
    "torchvision:squeezenet1_0": partial(_squeezenet, "1_0"),
    "torchvision:squeezenet1_1": partial(_squeezenet, "1_1"),
}


# Those that take the transformer's settings, and those whose input statistics are not published.
TRANSFORMERS = tuple(name for name in BACKBONES if name.startswith("cnn_transformer"))
WITHOUT_STATISTICS = ("small_cnn", "cnn_transformer_tiny")


def known_backbone(name: str) -> bool:
    """Whether `build_trunk` can make it: an own row, a timm name (with a valid tag), or a cut as in resnet18_layer3."""
    if name in BACKBONES:
        return True
    from sweep.models.timm_trunks import cut_of, in_timm

    return in_timm(name) or cut_of(name) is not None


def build_trunk(name: str, *, image_px: int, pretrained: bool = False, **options: Any) -> Trunk:
    """The backbone `name` for pictures of `image_px`: drawn from the global torch generator, or with ImageNet weights.

    Raises InputError for an unknown name or option, and when the hub cannot be reached.
    """
    from sweep.models.timm_trunks import cut_of, in_timm, timm_cut, timm_trunk

    try:
        if name in BACKBONES:
            return BACKBONES[name](image_px, pretrained, **options)
        if in_timm(name):
            return timm_trunk(name, image_px, pretrained, **options)
        if cut := cut_of(name):
            return timm_cut(*cut, pretrained, **options)
    except TypeError as mistake:
        raise InputError(f"backbone {name}", f"does not take {sorted(options)}", f"remove them ({mistake})") from None
    import timm

    raise InputError("backbone", f"unknown name {name!r}", suggestion(name, [*BACKBONES, *timm.list_models()]))


def _has_no_published_weights(name: str, pretrained: bool) -> None:
    if pretrained:
        raise InputError(f"backbone {name}", "has no ImageNet weights", "leave weights out, or give a path")
