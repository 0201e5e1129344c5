"""How the published colorizers draw their first weights."""

from __future__ import annotations

from torch import nn


def xavier_convolutions(model: nn.Module) -> nn.Module:
    """Draw the weight of every convolution from Xavier's uniform distribution; returns `model`.

    Transposed convolutions keep PyTorch's own start: the published code draws Conv2d weights only. For ColorU the description
    says no more than "convolutions", so the rule that is certain for DECONV holds for it too.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
    return model
