"""Labelled stand-ins for an unlabelled target: source-validation images restyled towards it and changed as scanners change images.

Their labels are known, so every model's true metrics on them are: what estimates of target performance are made from and checked on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sweep.core.seeds import rng
from sweep.shift.acquisition import TRANSFORMS
from sweep.shift.restyle import MATCHED, PAIRED, fitted_to_field

MATCHED_SET, RESTYLED, ACQUISITION = "matched as a set", "restyled", "acquisition"
BOTH, PREVALENCE = "matched and acquisition", "prevalence"
FIELD = "field of view"  # first transform of a hospital whose images were fitted into the target's borders
_TRANSFORMS_AT_ONCE = (1, 3)  # fewest and most acquisition effects of one hospital
_AFTER_MATCHING = 0.5  # largest strength of an effect on images that look like the target's already
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


FAMILIES = (MATCHED_SET, RESTYLED, ACQUISITION, BOTH, PREVALENCE)


def pseudo_hospitals(
    images: np.ndarray, labels: np.ndarray, target: np.ndarray, *, count: int = 40, seed: int = 0
) -> Iterator[PseudoHospital]:
    """`count` hospitals, one at a time, from uint8 source-validation images [N, H, W], labels [N] and unlabelled target images [M, H, W].

    Where the target's images have other black borders, every second hospital's are fitted into them first: borders may have shrunk the
    images or covered a part of them, which `restyle.MATCHED` does alone. Of eight, three are matched to the target as a set, one is restyled image by image, two are matched and then changed a little as
    scanners change images, one is changed only (neither matched nor fitted), and one is matched with another class mix. Hospital k depends on
    (seed, k) alone: asking for more adds to those that are there. Raises ValueError for no target image or images of another size.
    """
    if len(target) == 0 or target.shape[1:] != images.shape[1:]:
        raise ValueError(f"target images {target.shape} do not fit source images {images.shape}")
    fitted = fitted_to_field(images, target)
    for number in range(count):
        draw = rng(seed, "pseudo hospital", number)
        family = _family(number)
        rows = _resampled(labels, draw) if family == PREVALENCE else np.arange(len(images))
        shown, recipe = images[rows], []
        if family != ACQUISITION:
            table, turn = PAIRED if family == RESTYLED else MATCHED, _turn(number, family)
            name = list(table)[turn % len(table)]
            recipe = [name]
            if fitted is not images and turn % 2 == 0:
                shown, recipe = fitted[rows], [FIELD, name]
            shown = table[name](shown, target, draw)
        if family in (ACQUISITION, BOTH):
            few, many = _TRANSFORMS_AT_ONCE
            strongest = _AFTER_MATCHING if family == BOTH else 1.0
            for name in draw.choice(list(TRANSFORMS), int(draw.integers(few, many + 1)), replace=False):
                shown = TRANSFORMS[name](shown, float(draw.uniform(0.2, strongest)), draw)
                recipe.append(str(name))
        yield PseudoHospital(f"pseudo-{number:03d}", family, tuple(recipe), shown, labels[rows], rows)


_ROUND = (MATCHED_SET, BOTH, RESTYLED, ACQUISITION, MATCHED_SET, BOTH, MATCHED_SET, PREVALENCE)


def _family(number: int) -> str:
    """Families in a fixed round of eight, so that every prefix of the hospitals has nearly the shares of the whole."""
    return _ROUND[number % len(_ROUND)]


def _turn(number: int, family: str) -> int:
    """How many hospitals of the family came before this one: its restyles come in turn."""
    rounds, rest = divmod(number, len(_ROUND))
    return rounds * _ROUND.count(family) + _ROUND[:rest].count(family)


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
