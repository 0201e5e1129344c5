"""Which images are the same picture: exact, flipped, turned, zoomed, resized, re-encoded, brightened or cropped.

Likely pairs come from fingerprints; each is then confirmed by the normalised correlation of the fine structure of 64-pixel
thumbnails, as they lie or after a small affine change (`alignment`).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from sweep.audit.fingerprints import THUMB_PX, fingerprints, likely_pairs, orient
from sweep.core.seeds import rng
from sweep.shards.alignment import aligned_correlation
from sweep.shards.groups import components, renumbered
from sweep.shards.image_set import ImageSet
from sweep.shards.reader import decode_column, read_batches, read_manifest
from sweep.shards.resize import fit_square

# Correlation from which two images count as one, unless chance alone comes near it (chests do). Measured on 600 adult chests of
# 64 px: 26 of 28 pairs above 0.75 are films of one patient, so a higher floor would part pictures that belong together, while
# two strangers taken for one only share a fold.
SAME = 0.75
_CHANCE_PAIRS = 150  # random pairs that measure what chance gives in this set
_CHANCE_DEVIATIONS = 6.0  # above their median: 0.80 for chest X-rays, where 0.78 was the best of two million pairs
_STRICTEST = 0.9
_COLUMNS = ("image", "height", "width", "sha256")
_DETAIL_PX = 4.0  # structures wider than this many thumbnail pixels are left out: they are common to an anatomy
_BRIGHTEST = 2.5  # standard deviations fine structure is clipped at: callipers and letters weigh no more than tissue
_HOPELESS = 0.2  # below what is asked for: pairs that agree less at half the resolution are not aligned at the whole
_BLOCK = 256  # pairs compared at once: 4 MB for each array of them
_IN_MEMORY = 50_000  # thumbnails, 200 MB
_MEAN_IMAGES = 2000  # images the common anatomy is averaged over


@dataclass(frozen=True)
class Pair:
    """Images at positions i < j show the same picture; `score` is their correlation, `orientation` that of j."""

    i: int
    j: int
    score: float
    orientation: int = 0


@dataclass(frozen=True)
class Duplicates:
    """Confirmed pairs, and the number of the group of each image: int64 [N], closed over the pairs."""

    pairs: tuple[Pair, ...]
    groups: np.ndarray

    @property
    def count(self) -> int:
        """How many different pictures there are."""
        return int(self.groups.max(initial=-1)) + 1


def find_duplicates(images: ImageSet | np.ndarray | Sequence[np.ndarray]) -> Duplicates:
    """Near-duplicates among uint8 images of any sizes."""
    given = images.images if isinstance(images, ImageSet) else images
    thumbs = np.empty((len(given), THUMB_PX, THUMB_PX), dtype=np.uint8)
    for index in range(len(given)):
        thumbs[index] = fit_square(np.ascontiguousarray(given[index]), THUMB_PX, "stretch")
    return duplicates_of(thumbs)


def near_duplicate_groups(images: ImageSet | np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """int64 [N]: the group number of each image, as `splits.make_split` takes it."""
    return find_duplicates(images).groups


def folder_duplicates(folder: Path | str) -> Duplicates:
    """Near-duplicates within a shard folder; positions are those of `reader.read_metadata`."""
    return duplicates_of(*read_thumbs(folder))


def crossing_pairs(folders: Sequence[Path | str]) -> list[Pair]:
    """Pairs whose images lie in different shard folders; positions count through the folders in order."""
    return _crossing(*read_thumbs(*folders), _owners(folders))


def duplicates_within_and_between(folders: Sequence[Path | str]) -> tuple[list[Duplicates], list[Pair]]:
    """`folder_duplicates` of each folder and their `crossing_pairs`, from one reading of the images."""
    thumbs, hashes = read_thumbs(*folders)
    owners = _owners(folders)
    within = [duplicates_of(thumbs[part], hashes[part]) for part in _parts(owners, len(folders))]
    return within, _crossing(thumbs, hashes, owners) if len(folders) > 1 else []


def _owners(folders: Sequence[Path | str]) -> np.ndarray:
    """int64 [N]: the number of the folder that each image lies in."""
    return np.repeat(np.arange(len(folders)), [read_manifest(folder).images for folder in folders])


def _parts(owners: np.ndarray, count: int) -> list[slice]:
    ends = np.searchsorted(owners, np.arange(count + 1))
    return [slice(int(first), int(last)) for first, last in itertools.pairwise(ends)]


def _crossing(thumbs: np.ndarray, hashes: np.ndarray, owners: np.ndarray) -> list[Pair]:
    return [pair for pair in duplicates_of(thumbs, hashes, owners).pairs if owners[pair.i] != owners[pair.j]]


def read_thumbs(*folders: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails uint8 [N, 64, 64] and pixel hashes [N] of all images of some shard folders, in shard order."""
    thumbs = _room(sum(read_manifest(folder).images for folder in folders))
    hashes: list[str] = []
    for batch in (batch for folder in folders for batch in read_batches(folder, _COLUMNS)):
        images, heights, widths, pixels = (batch.column(name) for name in _COLUMNS)
        place = slice(len(hashes), len(hashes) + len(batch))
        thumbs[place] = decode_column(images, heights, widths, THUMB_PX, "stretch")
        hashes += pixels.to_pylist()
    return thumbs, np.array(hashes)


def _room(count: int) -> np.ndarray:
    """uint8 [count, P, P] to be filled; of a large set on disk, where the system gives the memory back when it is short."""
    shape = (count, THUMB_PX, THUMB_PX)
    if count <= _IN_MEMORY:
        return np.empty(shape, dtype=np.uint8)
    with tempfile.TemporaryFile() as stream:
        return np.memmap(stream, dtype=np.uint8, mode="w+", shape=shape)


def duplicates_of(
    thumbs_NPP: np.ndarray, hashes_N: np.ndarray | None = None, owners_N: np.ndarray | None = None
) -> Duplicates:
    """Near-duplicates among thumbnails; images of equal `hashes_N` are duplicates whatever they look like.

    With `owners_N`, pairs of one owner are not compared pixel by pixel.
    """
    pairs = {} if hashes_N is None else {(p.i, p.j): p for p in _equal(hashes_N)}
    detail = _Detail(thumbs_NPP)
    likely = likely_pairs(fingerprints(thumbs_NPP), owners_N)
    likely = likely[[(int(i), int(j)) not in pairs for i, j, _ in likely]] if len(likely) else likely
    threshold = _threshold(detail, len(thumbs_NPP))
    for block in (likely[start : start + _BLOCK] for start in range(0, len(likely), _BLOCK)):
        for (i, j, orientation), score in zip(block, detail.scores(block, threshold), strict=True):
            if score >= threshold:
                pairs[int(i), int(j)] = Pair(int(i), int(j), float(score), int(orientation))
    groups = components(len(thumbs_NPP), pairs)
    return Duplicates(tuple(pairs[key] for key in sorted(pairs)), groups)


def _threshold(detail: _Detail, count: int) -> float:
    """The correlation that counts as the same picture in this set of `count` images, in [0.75, 0.9]."""
    if count < 10:
        return SAME
    draw = rng(0, "duplicates", "chance")
    pairs = [(*draw.choice(count, 2, replace=False), 0) for _ in range(_CHANCE_PAIRS)]
    chance = detail.scores(np.array(pairs), enough=1.0, thorough=True)
    middle = float(np.median(chance))
    deviation = 1.4826 * float(np.median(np.abs(chance - middle)))  # of a normal distribution, blind to true copies
    return float(np.clip(middle + _CHANCE_DEVIATIONS * deviation, SAME, _STRICTEST))


def _equal(hashes: np.ndarray) -> list[Pair]:
    numbers = renumbered(hashes)
    order = np.argsort(numbers, kind="stable")
    same = np.diff(numbers[order]) == 0
    return [Pair(int(i), int(j), 1.0) for i, j in zip(order[:-1][same], order[1:][same], strict=True)]


class _Detail:
    """Fine structure of the thumbnails without what the whole set has in common."""

    def __init__(self, thumbs: np.ndarray) -> None:
        self._thumbs = thumbs
        chosen = np.arange(len(thumbs))
        if len(thumbs) > _MEAN_IMAGES:
            chosen = np.sort(rng(0, "duplicates", "mean").choice(len(thumbs), _MEAN_IMAGES, replace=False))
        total = np.zeros(thumbs.shape[1:], dtype=np.float32)
        for block in np.array_split(chosen, max(1, -(-len(chosen) // _BLOCK))):
            total += _unit(_fine(thumbs[block])).sum(axis=0)
        # A small set's mean is mostly its own images: trust it as it grows.
        self._common = total / (len(chosen) + 50)
        self._energy = float((self._common**2).sum())

    def scores(self, pairs: np.ndarray, enough: float, thorough: bool = False) -> np.ndarray:
        """float32 [M]: the correlation of pairs [M, 3] of i, j and j's orientation; aligned where it is below `enough` as they lie.

        Pairs far from `enough` at half the resolution are not aligned at the whole, unless `thorough`.
        """
        first, second = self._thumbs[pairs[:, 0]], self._thumbs[pairs[:, 1]]
        for orientation in np.unique(pairs[:, 2]):
            mine = pairs[:, 2] == orientation
            second[mine] = orient(second[mine], int(orientation))
        fine, other = self._of(first), self._of(second)
        found = (fine * other).sum(axis=(1, 2))
        rest = np.flatnonzero(found < enough)
        for halved, least in (
            (True, enough - _HOPELESS),
            (False, -1.0),
        ):  # most pairs are given up at a quarter of the cost
            if len(rest):
                images = [_halved(images[rest]) if halved else images[rest] for images in (first, second, fine, other)]
                aligned = aligned_correlation(*images)
                rest = rest[aligned >= least]
        if len(rest):
            found[rest] = np.maximum(found[rest], aligned)
        return found

    def _of(self, thumbs: np.ndarray) -> np.ndarray:
        """float32 [M, P, P], each of mean 0 and norm 1."""
        fine = _unit(_fine(thumbs))
        if self._energy > 0:
            share = (fine * self._common).sum(axis=(1, 2), keepdims=True) / self._energy
            fine = fine - self._common * share
        return _unit(fine - fine.mean(axis=(1, 2), keepdims=True))


def _halved(images: np.ndarray) -> np.ndarray:
    """float32 [M, P / 2, P / 2]: means of two by two pixels."""
    count, px, _ = images.shape
    return images.reshape(count, px // 2, 2, px // 2, 2).mean(axis=(2, 4), dtype=np.float32)


def _fine(images: np.ndarray) -> np.ndarray:
    """Structure narrower than a few pixels of images [M, P, P], its extremes clipped."""
    images = images.astype(np.float32)
    wide = gaussian_filter1d(
        gaussian_filter1d(images, _DETAIL_PX, axis=1, truncate=2.5), _DETAIL_PX, axis=2, truncate=2.5
    )
    fine = images - wide
    most = _BRIGHTEST * fine.std(axis=(1, 2), keepdims=True)
    return np.clip(fine, -most, most)


def _unit(images: np.ndarray) -> np.ndarray:
    return images / np.maximum(np.linalg.norm(images, axis=(1, 2), keepdims=True), 1e-6)
