"""Grey to colour: nine modules [N, 1, H, W] -> [N, 3, H, W], each a row of COLORIZERS, none with a bounded output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from sweep.core.errors import InputError, suggestion
from sweep.models.colorizers.coloru import ColorU
from sweep.models.colorizers.decomposition import Decomposition
from sweep.models.colorizers.pointwise import Matching, Replicate
from sweep.models.colorizers.residual import deco, deconv, pixelshuffle, resize_conv
from sweep.models.colorizers.texture_color import TextureColor


@dataclass(frozen=True)
class Colorizer:
    """A row: how to build it, and whether it learns (a learned one sees standardised grey, as in Morra et al.)."""

    build: Callable[..., nn.Module]
    learned: bool = True


COLORIZERS: dict[str, Colorizer] = {
    "none": Colorizer(Replicate, learned=False),
    "matching": Colorizer(Matching),
    "deconv": Colorizer(deconv),
    "pixelshuffle": Colorizer(pixelshuffle),
    "coloru": Colorizer(ColorU),
    "resize_conv": Colorizer(resize_conv),
    "texture_color": Colorizer(TextureColor),
    "deco": Colorizer(deco),
    "decomposition": Colorizer(Decomposition, learned=False),
}


def build_colorizer(name: str, **options: Any) -> nn.Module:
    """The module called `name`; `options` go to its constructor. Raises InputError for an unknown name or option."""
    if name not in COLORIZERS:
        raise InputError("colorizer", f"unknown name {name!r}", suggestion(name, COLORIZERS))
    try:
        return COLORIZERS[name].build(**options)
    except TypeError as mistake:
        raise InputError(
            "colorizer_options", f"{name} does not take {sorted(options)}", f"remove them ({mistake})"
        ) from None
