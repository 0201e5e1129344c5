"""Common interface of the backbones: pictures in, one feature vector each out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError, first_line
from sweep.models import hyperparameters

GREY_MEAN, GREY_STD = (hyperparameters.GREY_MEAN,), (hyperparameters.GREY_STD,)
MESSAGE_LETTERS = 120  # of a library's message that are quoted
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Trunk:
    """A backbone without its classifier: `module` maps pictures [N, 3, H, W] to features [N, F].

    `body` is the part whose names a weights file uses; `head_prefixes` and `cut_prefixes` are the file's keys that this
    trunk has no use for; `mean` and `std` are the published input statistics of the colours. `features` is F where the
    network knows it (and takes any picture size), None where one picture has to be sent through.
    """

    module: nn.Module
    body: nn.Module
    mean: tuple[float, ...] = GREY_MEAN
    std: tuple[float, ...] = GREY_STD
    head_prefixes: tuple[str, ...] = ()
    cut_prefixes: tuple[str, ...] = ()
    features: int | None = None


class PooledMaps(nn.Module):
    """Global average of the last feature map of `body`: [N, 3, H, W] -> [N, C]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.body(pictures)
        return (maps[-1] if isinstance(maps, (list, tuple)) else maps).mean((2, 3))


def feature_count(name: str, trunk: Trunk, image_px: int) -> int:
    """Features that `trunk` gives for a picture of `image_px`; InputError when it cannot take that size."""
    if trunk.features:
        return trunk.features
    module, training = trunk.module, trunk.module.training
    try:
        with torch.no_grad():
            features = module.eval()(torch.zeros(1, 3, image_px, image_px))
    except (RuntimeError, AssertionError, ValueError) as mistake:
        reason = first_line(mistake, MESSAGE_LETTERS)
        problem = f"cannot take pictures of {image_px} px ({reason})"
        raise InputError(f"backbone {name}", problem, "change data.image_px; 224 suits most") from None
    finally:
        module.train(training)
    if features.ndim != 2:
        problem = f"gives {features.ndim} axes instead of [N, features]"
        raise InputError(f"backbone {name}", problem, "choose a classification network")
    return features.shape[1]
