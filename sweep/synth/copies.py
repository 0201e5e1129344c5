"""Copies of training images among synthetic ones: nearest neighbours, with real-to-real distances as the reference.

Images are compared as thumbnails without their mean and contrast. COPY_VIEWS names the changes that a copy may have undergone and is still
found: `shifted` (mirrored, moved by up to a sixteenth of the side, brightened, blurred), or `all` (also flipped upside down, turned by
quarters, enlarged or turned a little, blended with another image). The distance is sqrt(2 - 2 r) for the largest correlation r: 0 to 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sweep.audit.fingerprints import ORIENTATIONS, Fingerprints, fingerprints, orient
from sweep.audit.small_changes import CHANGES, Change, registered
from sweep.core.errors import InputError, suggestion
from sweep.synth.settings import ALL_VIEWS, COPY_VIEWS, check_square

THUMBNAIL_PX = 32
REACH_PX = 2  # largest shift of a thumbnail in each direction
REFERENCE_IMAGES = 2000  # real images, at most, whose distances to other real ones are the reference
COPY_SHARE = 0.5  # of the usual distance between unrelated real images; nearer counts as a copy
_LIKELY = 0.8  # cosine of two fingerprints from which a pair is registered: true copies have 0.9 and more
_NEAREST = 2  # such pairs per image, for each of them
_MOVES = (Change("none"), *CHANGES)


@dataclass(frozen=True, eq=False)
class CopyCheck:
    """Distance of M synthetic images to their nearest real one, beside that of real images to theirs.

    `nearest` int64 [M] are positions in the real set; `threshold` is the distance below which it is a copy.
    """

    distance: np.ndarray
    nearest: np.ndarray
    real_distance: np.ndarray
    threshold: float

    @property
    def copies(self) -> np.ndarray:
        """Which synthetic images copy a real one; bool [M]."""
        return self.distance < self.threshold

    @property
    def rate(self) -> float:
        """Share of synthetic images that are copies."""
        return float(self.copies.mean()) if len(self.distance) else 0.0

    @property
    def real_rate(self) -> float:
        """Share of real images that would count as copies of another: the reference, near-duplicates included."""
        return float((self.real_distance < self.threshold).mean())


class Compared:
    """Images that others are compared with under `views`, prepared once for any number of blocks."""

    def __init__(self, images: np.ndarray, views: str = ALL_VIEWS) -> None:
        if views not in COPY_VIEWS:
            raise InputError("copy_views", f"{views!r} is unknown", suggestion(views, COPY_VIEWS))
        self.thumbnails = _thumbnails(images)
        self._prints = fingerprints(self.thumbnails) if views == ALL_VIEWS and len(images) else None
        self._changed = (
            [] if self._prints is None else [self._prints.vectors(slice(None), number) for number in _VECTORS]
        )

    def __len__(self) -> int:
        return len(self.thumbnails)

    def nearest(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance float [M] of each image uint8 [M, px, px] to its nearest one here, and the position int64 [M] of that."""
        queries = _thumbnails(block)
        if not len(self):
            return np.full(len(queries), 2.0), np.zeros(len(queries), dtype=np.int64)
        return self._nearest(queries, np.zeros((len(queries), len(self)), dtype=bool))

    def reference(self, asked: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float [n]: distance of the images at `asked` to their nearest one with another of `labels` [N]."""
        return self._nearest(self.thumbnails[asked], labels[asked, None] == labels)[0]

    def _nearest(self, queries: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        similarity = _similarity(queries, self.thumbnails)
        similarity[left_out] = -1.0
        nearest = similarity.argmax(1)
        best = similarity[np.arange(len(queries)), nearest]
        if self._prints is not None:
            self._register(queries, left_out, best, nearest)
        return _distance(best), nearest

    def _register(self, queries: np.ndarray, left_out: np.ndarray, best: np.ndarray, nearest: np.ndarray) -> None:
        """Raise `best` [M], and move `nearest`, where a pair is more alike once a small change is undone."""
        cosine, orientation, move = self._alike(queries, left_out)
        count = min(_NEAREST, len(self))
        candidates = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        for query, positions in enumerate(candidates):
            for position in positions[cosine[query, positions] >= _LIKELY]:
                turned = orient(queries[query], int(orientation[query, position]))
                found = registered(turned, self.thumbnails[position], _MOVES[move[query, position]])
                if found > best[query]:
                    best[query], nearest[query] = found, position

    def _alike(self, queries: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[M, N]: the largest cosine of the fingerprints over orientations and small changes, and which ones these were."""
        assert self._prints is not None
        own: Fingerprints = self._prints.like(queries)
        cosine = np.full(left_out.shape, -1.0, dtype=np.float32)
        orientation, move = np.zeros(left_out.shape, dtype=np.int8), np.zeros(left_out.shape, dtype=np.int8)
        for turn in range(ORIENTATIONS):
            vectors = own.vectors(slice(None), turn)
            for number, changed in enumerate(self._changed):
                found = vectors @ changed.T
                better = found > cosine
                cosine[better] = found[better]
                orientation[better], move[better] = turn, number
        cosine[left_out] = -1.0
        return cosine, orientation, move


_VECTORS = (0, *range(ORIENTATIONS, ORIENTATIONS + len(CHANGES)))  # of Fingerprints.vectors, for each of _MOVES


class Originals:
    """The real images that synthetic ones are compared with, prepared once for any number of blocks.

    `groups` [N] names each image's patient or near-duplicate group; the real reference then leaves the own group out. The
    threshold is half the median real-real distance: the median, because data sets hold near-duplicates.
    """

    def __init__(self, real: np.ndarray, groups: np.ndarray | None = None, views: str = ALL_VIEWS) -> None:
        self._known = Compared(real, views)
        self.views = views
        self.real_distance = _reference(self._known, groups)
        self.threshold = COPY_SHARE * float(np.median(self.real_distance))

    def check(self, block: np.ndarray) -> CopyCheck:
        """Compare a block of synthetic images uint8 [M, px, px] with all of them; InputError for a block of none."""
        if not len(block):
            raise InputError("copy check", "no synthetic image", "give at least one")
        return CopyCheck(*self._known.nearest(block), self.real_distance, self.threshold)


def copy_check(
    synthetic: np.ndarray | Iterable[np.ndarray],
    real: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    views: str = ALL_VIEWS,
) -> CopyCheck:
    """Compare `synthetic` (uint8 [M, px, px], or blocks of such images) with the images its generator was trained on.

    `groups` is that of Originals, `views` one of COPY_VIEWS.
    """
    originals = Originals(real, groups, views)
    checks = [originals.check(block) for block in ([synthetic] if isinstance(synthetic, np.ndarray) else synthetic)]
    distance = np.concatenate([check.distance for check in checks])
    nearest = np.concatenate([check.nearest for check in checks])
    return CopyCheck(distance, nearest, originals.real_distance, originals.threshold)


def leaked(
    synthetic: np.ndarray, train: np.ndarray, held_out: np.ndarray, groups: np.ndarray | None = None
) -> np.ndarray:
    """Which synthetic images copy a held-out image and no training one: the generator saw the test fold; bool [M].

    The threshold is that of the training fold. A held-out image that is itself a near-duplicate of a training image is
    a fault of the split, not of the generator, and is not counted here.
    """
    return nearer_to(Compared(held_out), synthetic, Originals(train, groups).check(synthetic))


def nearer_to(held_out: Compared, synthetic: np.ndarray, of_train: CopyCheck) -> np.ndarray:
    """As `leaked`, given the comparison of the synthetic images with the training images."""
    to_held_out, _ = held_out.nearest(synthetic)
    return (to_held_out < of_train.threshold) & (to_held_out < of_train.distance)


def _reference(known: Compared, groups: np.ndarray | None) -> np.ndarray:
    """Distance of real images to their nearest one of another group; of at most 2,000 spread over a larger set."""
    if len(known) < 3:
        raise InputError(
            "copy check", f"{len(known)} real images", "give at least three: their mutual distances are the reference"
        )
    labels = np.arange(len(known)) if groups is None else np.unique(groups, return_inverse=True)[1]
    asked = np.arange(0, len(known), -(-len(known) // REFERENCE_IMAGES))
    return known.reference(asked, labels)


def _similarity(queries: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Largest correlation over all shifts and the mirror image; float32 [M, N]."""
    inner = slice(REACH_PX, THUMBNAIL_PX - REACH_PX)
    middle = _unit_rows(queries[:, inner, inner])
    best = np.full((len(queries), len(known)), -1.0, np.float32)
    for window in _windows(known):
        np.maximum(best, middle @ _unit_rows(window).T, out=best)
    return best


def _windows(known: np.ndarray) -> Iterator[np.ndarray]:
    """Every shifted cut of the thumbnails and of their mirror images, as large as a query's middle."""
    side = THUMBNAIL_PX - 2 * REACH_PX
    for version in (known, known[:, :, ::-1]):
        for top in range(2 * REACH_PX + 1):
            for left in range(2 * REACH_PX + 1):
                yield version[:, top : top + side, left : left + side]


def _distance(correlation: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(2 - 2 * correlation, 0))


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Block means; float32 [N, 32, 32]. InputError for images that do not divide into 32 by 32 equal blocks."""
    check_square(images, "copy check", THUMBNAIL_PX)
    share = images.shape[1] // THUMBNAIL_PX
    return images.reshape(len(images), THUMBNAIL_PX, share, THUMBNAIL_PX, share).mean((2, 4), dtype=np.float32)


def _unit_rows(cuts: np.ndarray) -> np.ndarray:
    """Each cut as a row without mean and of unit length."""
    flat = cuts.reshape(len(cuts), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
