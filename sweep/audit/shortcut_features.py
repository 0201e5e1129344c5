"""Things that are not anatomy and yet predict the class or the domain: tint, transparency, image size, burned-in letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.core.ranks import auroc

_NOTABLE = 0.15  # distance of the AUROC from chance that is worth a line
_ERRORS = 3.0  # and how many standard errors it must be


@dataclass(frozen=True)
class Tell:
    """`feature` alone tells `target` (a class or a domain) from the rest with this AUROC, folded to at least 0.5."""

    feature: str
    target: str
    auroc: float


def features(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Per image, by name: float [N] columns that a model could exploit without looking at tissue."""
    height, width = frame["original_height"].to_numpy(float), frame["original_width"].to_numpy(float)
    letters = {"lettering": frame["letters"].to_numpy(float)} if "letters" in frame else {}
    return letters | {
        "tint": frame["colour"].to_numpy(float),
        "transparency": frame["transparent"].to_numpy(float),
        "image height": height,
        "image width": width,
        "aspect ratio": width / height,
    }


def find_tells(columns: Mapping[str, np.ndarray], targets: np.ndarray, kind: str) -> list[Tell]:
    """The features that predict some value of `targets` [N] better than chance, the strongest first.

    `kind` ("class" or "domain") starts each target's name.
    """
    found = []
    names = np.unique(targets)
    if len(names) == 2:
        names = names[1:]  # the other one is its mirror image
    for name in names if len(np.unique(targets)) > 1 else ():
        wanted = targets == name
        for feature, values in columns.items():
            area = folded_auroc(values, wanted)
            if area - 0.5 > max(_NOTABLE, _ERRORS * _standard_error(wanted)):
                found.append(Tell(feature, f"{kind} {name}", round(area, 3)))
    return sorted(found, key=lambda tell: -tell.auroc)


def folded_auroc(values: np.ndarray, wanted: np.ndarray) -> float:
    """Area under the ROC curve of `values` [N] for the bool `wanted` [N], or of their negation if larger."""
    area = auroc(values, wanted)
    return 0.5 if np.isnan(area) else max(area, 1 - area)


def _standard_error(wanted: np.ndarray) -> float:
    """Of an AUROC at chance (Mann-Whitney)."""
    positives = int(wanted.sum())
    negatives = len(wanted) - positives
    return float(np.sqrt((positives + negatives + 1) / (12 * positives * negatives)))
