"""Initial weights of the colorizers, as their published code draws them."""

from __future__ import annotations

import math

from torch import nn

from sweep.core.errors import InputError, suggestion

PUBLISHED, XAVIER = "published", "xavier"
INITS = (PUBLISHED, XAVIER)


def xavier_convolutions(model: nn.Module) -> nn.Module:
    """Draw the weight of every convolution from Xavier's uniform distribution (Glorot and Bengio 2010); returns `model`.

    Transposed convolutions keep PyTorch's default: the published code of DECONV draws Conv2d weights only.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
    return model


def caffe_convolutions(model: nn.Module) -> nn.Module:
    """Caffe's xavier filler with its default scale by fan-in: weights uniform in +-sqrt(3 / fan_in), biases zero; returns `model`.

    Transposed convolutions are left alone: DE2CO's has a fixed bilinear kernel.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            bound = math.sqrt(3 / module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def checked_init(init: str) -> str:
    """`init` when it is one of INITS; InputError otherwise."""
    if init not in INITS:
        raise InputError("colorizer_init", f"unknown value {init!r}", suggestion(init, INITS))
    return init
