"""Labelled stand-ins for an unlabelled target: source-validation images restyled towards it and changed as scanners change images.

Their labels are known, so every model's true metrics on them are: what estimates of target performance are made from and checked on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sweep.core.seeds import rng
from sweep.shift.acquisition import TRANSFORMS
from sweep.shift.restyle import RESTYLES

RESTYLED, ACQUISITION, BOTH, PREVALENCE = "restyled", "acquisition", "restyled and acquisition", "prevalence"
_TRANSFORMS_AT_ONCE = (1, 3)  # fewest and most acquisition effects of one hospital
_PREVALENCES = (0.1, 0.9)  # bounds of the positive share of a resampled hospital


@dataclass(frozen=True)
class PseudoHospital:
    """One stand-in: which source images it shows, as what, and how they were changed.

    images uint8 [N, H, W], labels int64 [N], rows int64 [N] (positions in the source-validation set), family one of FAMILIES, recipe the
    names of its transforms.
    """

    name: str
    family: str
    recipe: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


FAMILIES = (RESTYLED, ACQUISITION, BOTH, PREVALENCE)


def pseudo_hospitals(
    images: np.ndarray, labels: np.ndarray, target: np.ndarray, *, count: int = 40, seed: int = 0
) -> Iterator[PseudoHospital]:
    """`count` hospitals, one at a time, from uint8 source-validation images [N, H, W], labels [N] and unlabelled target images [M, H, W].

    Half are restyled towards the target, a quarter restyled and changed, one eighth changed only and one eighth restyled with
    another class mix. Hospital k depends on (seed, k) alone: asking for more adds to those that are there. Raises ValueError for no
    target image or images of another size.
    """
    if len(target) == 0 or target.shape[1:] != images.shape[1:]:
        raise ValueError(f"target images {target.shape} do not fit source images {images.shape}")
    for number in range(count):
        draw = rng(seed, "pseudo hospital", number)
        family = _family(number)
        rows = _resampled(labels, draw) if family == PREVALENCE else np.arange(len(images))
        shown, recipe = images[rows], []
        if family != ACQUISITION:
            name = list(RESTYLES)[_restyle_number(number) % len(RESTYLES)]
            shown, recipe = RESTYLES[name](shown, target, draw), [name]
        if family in (ACQUISITION, BOTH):
            few, many = _TRANSFORMS_AT_ONCE
            for name in draw.choice(list(TRANSFORMS), int(draw.integers(few, many + 1)), replace=False):
                shown = TRANSFORMS[name](shown, float(draw.uniform(0.2, 1.0)), draw)
                recipe.append(str(name))
        yield PseudoHospital(f"pseudo-{number:03d}", family, tuple(recipe), shown, labels[rows], rows)


def _family(number: int) -> str:
    """Families in a fixed round of eight, so that every prefix of the hospitals has nearly the shares of the whole."""
    return (RESTYLED, BOTH, RESTYLED, ACQUISITION, RESTYLED, BOTH, RESTYLED, PREVALENCE)[number % 8]


def _restyle_number(number: int) -> int:
    """Each restyle comes in turn, and a round of eight starts one further on: no family sees the same ones only."""
    rounds, rest = divmod(number, 8)
    return rounds * 8 + rest - (rest > 3)


def _resampled(labels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Rows drawn so that one class, chosen at random, has another share of the images; the number of images stays about the same.

    Every class keeps at least two images, so that metrics stay defined.
    """
    classes = np.unique(labels)
    grown = draw.choice(classes)
    share = draw.uniform(*_PREVALENCES)
    others = labels != grown
    wanted = {label: share if label == grown else (1 - share) * np.mean(labels[others] == label) for label in classes}
    rows = []
    for label, part in wanted.items():
        own = np.flatnonzero(labels == label)
        size = max(2, round(part * len(labels)))
        rows.append(draw.choice(own, size, replace=size > len(own)))
    return np.sort(np.concatenate(rows))
