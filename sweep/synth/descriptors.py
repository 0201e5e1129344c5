"""Images -> feature vectors. The feature net's name is part of every figure's name: different nets are not comparable.

`texture` and `layout` need no weights; `network_features` makes a feature net of a trained network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sweep.core.errors import InputError, suggestion
from sweep.core.grey_levels import check_grey_levels
from sweep.losses.glcm import glcm_features
from sweep.synth.radiomics import radiomics
from sweep.synth.settings import check_square

LEVELS = 16  # grey levels of the co-occurrence matrices
DISTANCES_PX = (1, 3)
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation")
LBP_RADII_PX = (1, 3)
LBP_NEIGHBOURS = 8
LAYOUT_SIDE = 8
BATCH_IMAGES = 64
_CONSTANT = 1e-9  # spread of a feature, relative to its size, that is rounding


@dataclass(frozen=True)
class FeatureNet:
    """`compute` maps uint8 [N, px, px] to float [N, D]; `standardise` asks for z-scores by the real images."""

    name: str
    compute: Callable[[np.ndarray], np.ndarray]
    standardise: bool

    def embed(self, real: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
        """Features, float64 [N, D], of the real images and of every other set on the same scale.

        InputError for images that are not uint8 [N, H, W], and for none.
        """
        for images in (real, *others):
            check_grey_levels(images, f"feature net {self.name}")
        return self.on_one_scale(*(self.compute(images) for images in (real, *others)))

    def on_one_scale(self, real: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
        """Computed features as float64, standardised by the real images where the net asks for it.

        A feature that all real images have alike (a minimum of 0, a black border) has no scale and is zero for every set: divided by next to
        nothing, one grey level of difference would outweigh all other features.
        """
        features = [part.astype(np.float64) for part in (real, *others)]
        if not self.standardise:
            return features
        mean, spread = features[0].mean(0), features[0].std(0)
        scale = np.where(spread > _CONSTANT * (1 + np.abs(mean)), np.maximum(spread, 1e-6), np.inf)
        return [(part - mean) / scale for part in features]


def texture(images: np.ndarray) -> np.ndarray:
    """Five co-occurrence properties at two distances and four angles, two local-binary-pattern histograms; D = 60."""
    import torch

    found = glcm_features(
        torch.from_numpy(images // (256 // LEVELS)), LEVELS, DISTANCES_PX, ANGLES, PROPERTIES, symmetric=True
    )
    patterns = np.stack([np.concatenate(_pattern_histograms(image)) for image in images])
    return np.concatenate([*(found[name].flatten(1).numpy() for name in PROPERTIES), patterns], 1)


def layout(images: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each cell of an 8x8 grid: spatial layout of brightness and detail; D = 128."""
    check_square(images, "feature net layout", LAYOUT_SIDE)
    side = images.shape[1] // LAYOUT_SIDE
    cells = images.reshape(len(images), LAYOUT_SIDE, side, LAYOUT_SIDE, side).astype(np.float32)
    return np.concatenate([cells.mean((2, 4)).reshape(len(images), -1), cells.std((2, 4)).reshape(len(images), -1)], 1)


def network_features(name: str, network: Callable, *, device: str = "cpu") -> FeatureNet:
    """A feature net from a torch module in eval mode that maps [N, 1, H, W] in [0, 1] to [N, D]."""
    import torch

    def compute(images: np.ndarray) -> np.ndarray:
        blocks = [images[start : start + BATCH_IMAGES] for start in range(0, len(images), BATCH_IMAGES)]
        with torch.inference_mode():
            inputs = (torch.from_numpy(block).to(device).float().div(255).unsqueeze(1) for block in blocks)
            return np.concatenate([network(batch).float().flatten(1).cpu().numpy() for batch in inputs])

    return FeatureNet(name, compute, standardise=False)


FEATURE_NETS = {
    "texture": FeatureNet("texture", texture, standardise=True),
    "layout": FeatureNet("layout", layout, standardise=True),
    "radiomics": FeatureNet("radiomics", radiomics, standardise=True),  # its Frechet distance is FRD
    "texture+layout": FeatureNet(
        "texture+layout", lambda images: np.concatenate([texture(images), layout(images)], 1), standardise=True
    ),
}


def feature_net(name: str | FeatureNet) -> FeatureNet:
    """The feature net called `name`, or the one given; InputError with a suggestion when there is none."""
    if isinstance(name, FeatureNet):
        return name
    if name not in FEATURE_NETS:
        raise InputError("feature_net", f"unknown feature net {name!r}", suggestion(name, FEATURE_NETS))
    return FEATURE_NETS[name]


def _pattern_histograms(image: np.ndarray) -> list[np.ndarray]:
    from skimage.feature import local_binary_pattern  # here: half a second of every process that measures no texture

    codes = LBP_NEIGHBOURS + 2  # uniform patterns: 0 to 8 set bits, and everything else
    return [
        np.bincount(
            local_binary_pattern(image, LBP_NEIGHBOURS, radius, "uniform").astype(np.intp).ravel(), minlength=codes
        )
        / image.size
        for radius in LBP_RADII_PX
    ]
