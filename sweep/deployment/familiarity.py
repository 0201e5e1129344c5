"""How far a new image lies from the training images, by the network's features and by plain properties of its pixels.

Features: cosine distance to the 5th nearest training image in the space of the network's last features (deep nearest neighbours, Sun et al.
2022). Properties: the largest deviation of brightness, contrast, sharpness, speckle, spectrum, black border and brightness along depth from the
training mean, in training standard deviations; this finds another scanner where the network's features do not move.
The score of an image is the larger of the two distances, each over its limit, the 97.5th percentile of the source's validation images, which
were not trained on. An image is flagged where its score exceeds 1: at most one in twenty images of the source is.
Where most images of a set are flagged, a flag on each says nothing about any: the set is then flagged as a whole, and within it only the images
that also stand out from the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sweep.core.seeds import rng
from sweep.deployment.combine import Ensemble
from sweep.evaluation.evaluate import eval_mode
from sweep.models.classifier import Classifier
from sweep.shards.lazy import Images
from sweep.shift.properties import PROPERTIES, properties

NEIGHBOURS = 5
PERCENTILE = 97.5  # of each of the two distances
FALSE_FLAGS = (
    2 * (100 - PERCENTILE) / 100
)  # share of the source's own images that is flagged, at most: by the one distance or the other
MOST = 1000  # training images kept
# Of a set of images: from such a share of flags on it is a shifted hospital, not a set with a few strange images.
_SHIFTED, _FEWEST = 0.5, 10
_FENCE = 3.0  # interquartile ranges beyond the third quartile: Tukey's outer fence (1977)
_BLOCK = 512  # images compared at once


@dataclass(frozen=True)
class Reference:
    """Training images as `distances` needs them: unit features [M, F], property means and deviations [7], and the two limits."""

    features: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    feature_limit: float = float("inf")
    property_limit: float = float("inf")


@dataclass(frozen=True)
class Distances:
    """Of N images: distance of the features [N], largest property deviation [N], and the number of that property [N]."""

    features: np.ndarray
    properties: np.ndarray
    farthest: np.ndarray

    def scores(self, reference: Reference) -> np.ndarray:
        """For each image the larger of its two distances, each over its limit [N]: 1 is the limit of the flag."""
        pairs = ((self.features, reference.feature_limit), (self.properties, reference.property_limit))
        return np.maximum(*(distance / max(limit, 1e-12) for distance, limit in pairs))

    def reasons(self, reference: Reference) -> list[str]:
        """For each image why it is unlike the training images: 'features', a property and its direction, both, or ''."""
        found = []
        for feature, deviation, which in zip(self.features, self.properties, self.farthest, strict=True):
            words = ["features"] if feature > reference.feature_limit else []
            words += [PROPERTIES[which].replace("_", " ")] if deviation > reference.property_limit else []
            found.append("; ".join(words))
        return found


@torch.no_grad()
def unit_features(model: Classifier | Ensemble, images: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Features of length one, float32 [N, F], of uint8 images [N, H, W]."""
    parts = []
    with eval_mode(model):
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + 64])).to(device)
            features = model.features(batch.unsqueeze(1).float().div_(255)).float().flatten(1)
            parts.append(torch.nn.functional.normalize(features, dim=1).cpu().numpy())
    return np.concatenate(parts)


def reference_of(model: Classifier | Ensemble, training: Images, held_out: Images, device: str) -> Reference:
    """The reference from uint8 training images and images of the same hospital that were not trained on, at most MOST of each."""
    chosen, check = sample(training), sample(held_out)
    measured = properties(chosen)
    spread = measured.std(axis=0)
    made = Reference(unit_features(model, chosen, device), measured.mean(axis=0), np.where(spread > 1e-9, spread, 1.0))
    seen = distances(made, unit_features(model, check, device), check)
    return Reference(
        made.features,
        made.means,
        made.deviations,
        limit_of(seen.features),
        limit_of(seen.properties),
    )


def limit_of(values: np.ndarray) -> float:
    """The distance that a further image of the same hospital stays below with a chance of PERCENTILE: a conformal quantile.

    Of n images it is the ceil((n + 1) PERCENTILE / 100)-th smallest distance; below 39 images there is none so rare, and the largest is taken.
    """
    place = int(np.ceil((len(values) + 1) * PERCENTILE / 100)) - 1
    return float(np.sort(values)[min(place, len(values) - 1)])


def shifted(scores: np.ndarray) -> bool:
    """Whether a set of images is unlike the training images as a whole: most of its scores [N] exceed 1. Not told of fewer than ten."""
    return len(scores) >= _FEWEST and float((scores > 1).mean()) >= _SHIFTED


def standing_out(scores: np.ndarray) -> np.ndarray:
    """Which scores [N] exceed 1 and, on a logarithmic scale, the outer fence of the set: bool [N]."""
    logs = np.log(np.maximum(scores, 1e-12))
    low, high = np.quantile(logs, (0.25, 0.75))
    return np.asarray((scores > 1) & (logs > high + _FENCE * (high - low)))


def sample(images: Images) -> np.ndarray:
    """At most MOST of the images, by a seeded draw, in their order."""
    if len(images) <= MOST:
        return np.asarray(images[:])
    return np.asarray(images[np.sort(rng(0, "familiarity", len(images)).permutation(len(images))[:MOST])])


def distances(reference: Reference, features: np.ndarray, images: np.ndarray) -> Distances:
    """Distances of images from their unit features [N, F] and their pixels uint8 [N, H, W]."""
    near = []
    rank = min(NEIGHBOURS, len(reference.features)) - 1
    for start in range(0, len(features), _BLOCK):
        apart = 1 - features[start : start + _BLOCK] @ reference.features.T
        near.append(np.partition(apart, rank, axis=1)[:, rank])
    deviations = np.abs(properties(images) - reference.means) / reference.deviations
    return Distances(np.concatenate(near), deviations.max(axis=1), deviations.argmax(axis=1))
