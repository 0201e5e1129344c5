"""Grey to colour: nine modules [N, 1, H, W] -> [N, 3, H, W], each a row of COLORIZERS, none with a bounded output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.core.deferred import Deferred
from sweep.core.errors import InputError, suggestion

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Colorizer:
    """A row: how to build it, and whether it learns (a learned one sees standardised grey, as in Morra et al.)."""

    build: Deferred
    learned: bool = True


def _row(module: str, name: str) -> Deferred:
    return Deferred(f"{__name__}.{module}", name)


COLORIZERS: dict[str, Colorizer] = {
    "none": Colorizer(_row("pointwise", "Replicate"), learned=False),
    "matching": Colorizer(_row("pointwise", "Matching")),
    "deconv": Colorizer(_row("residual", "deconv")),
    "pixelshuffle": Colorizer(_row("residual", "pixelshuffle")),
    "coloru": Colorizer(_row("coloru", "ColorU")),
    "resize_conv": Colorizer(_row("residual", "resize_conv")),
    "texture_color": Colorizer(_row("texture_color", "TextureColor")),
    "deco": Colorizer(_row("residual", "deco")),
    "decomposition": Colorizer(_row("decomposition", "Decomposition"), learned=False),
}


def build_colorizer(name: str, **options: Any) -> nn.Module:
    """The module called `name`; `options` go to its constructor. Raises InputError for an unknown name or option.

    Called with anything but grey images [N, 1, H, W] of its own floating-point type, the module raises InputError too.
    """
    if name not in COLORIZERS:
        raise InputError("colorizer", f"unknown name {name!r}", suggestion(name, COLORIZERS))
    try:
        module: nn.Module = COLORIZERS[name].build(**options)
    except TypeError as mistake:
        raise InputError(
            "colorizer_options", f"{name} does not take {sorted(options)}", f"remove them ({mistake})"
        ) from None
    module.register_forward_pre_hook(_check_input)
    return module


def _check_input(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    from sweep.models.input_checks import check_grey

    check_grey(inputs[0], next((weight.dtype for weight in module.parameters()), None))
