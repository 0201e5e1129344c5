"""Pointwise colorizers: replication and the learned matching layer."""

from __future__ import annotations

from torch import Tensor, nn


class Replicate(nn.Module):
    """The grey image three times: the baseline of every comparison."""

    def forward(self, grey: Tensor) -> Tensor:
        return grey.expand(-1, 3, -1, -1)


class Matching(nn.Module):
    """One affine map per colour (a 1x1 convolution, 6 parameters; Byra et al. 2019, doi 10.1002/mp.13361).

    It starts as replication; the backbone's filters differ by colour, so the three maps diverge from the first step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(1, 3, 1)
        nn.init.ones_(self.map.weight)
        assert self.map.bias is not None
        nn.init.zeros_(self.map.bias)

    def forward(self, grey: Tensor) -> Tensor:
        return self.map(grey)
