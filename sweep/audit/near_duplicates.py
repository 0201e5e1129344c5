"""Which images are the same picture: exact, flipped, turned, enlarged, resized, re-encoded, brightened or cropped.

Likely pairs come from fingerprints; each is then confirmed by the normalised correlation of the fine structure
of 64-pixel thumbnails, over all crops of up to an eighth of either side, or after registration where one is turned or enlarged a little.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from sweep.audit.crops import Look, Seen, any_crop, best_crop, crop_correlation, first_looks, seen
from sweep.audit.fingerprints import ORIENTATIONS, THUMB_PX, fingerprints, likely_pairs, orient
from sweep.audit.small_changes import CHANGES, registered
from sweep.core.seeds import rng
from sweep.shards.groups import components, renumbered
from sweep.shards.image_set import ImageSet
from sweep.shards.reader import decode_column, read_batches, read_manifest
from sweep.shards.resize import fit_square

# Correlation from which two images count as one, unless chance alone comes near it (chests do). Measured on 600 adult chests of
# 64 px: 26 of 28 pairs above 0.75 are films of one patient, so a higher floor would part pictures that belong together, while
# two strangers taken for one only share a fold.
SAME = 0.75
_CHANCE_PAIRS = 150  # random pairs that measure what chance gives in this set
# Above their median, on Fisher's scale atanh(r), where the spread of a correlation is that of a normal distribution: on the scale of r
# itself six deviations ask for more than 1 of letterboxed ultrasound images, whose chance pairs are spread widely and end at 0.6.
_CHANCE_DEVIATIONS = 6.0
_STRICTEST = 0.9
_ALIKE = 0.999  # a correlation of 1 has no finite atanh
_COLUMNS = ("image", "height", "width", "sha256")
Key = TypeVar("Key")
Value = TypeVar("Value")
View = tuple[int, int]  # position of an image, orientation
_DETAIL_PX = 4.0  # structures wider than this many thumbnail pixels are left out: they are common to an anatomy
_BRIGHTEST = 2.5  # standard deviations fine structure is clipped at: callipers and letters weigh no more than tissue
# Correlation of the first look below which a pair is not looked at more closely. Of the cropped copies planted among real ultrasound and
# chest images that are confirmed in the end 99.7 % reach 0.67, of the strangers whose fingerprints are alike 2 to 15 % reach 0.65.
_HOPELESS = 0.62
_CLOSE = 0.1  # correlation below the threshold from which all crops are tried, not only those near the best of the first look
_AT_ONCE = 128  # pairs compared in one go
_DETAILS = 4096  # fine structures kept: 64 MB
_LOOKS = 512  # first looks kept: 38 MB
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
    pictures = images.images if isinstance(images, ImageSet) else images
    thumbs = np.empty((len(pictures), THUMB_PX, THUMB_PX), dtype=np.uint8)
    for index, image in enumerate(pictures):
        thumbs[index] = fit_square(np.ascontiguousarray(image), THUMB_PX, "stretch")
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
    threshold = _threshold(detail, len(thumbs_NPP))
    likely = likely[[(i, j) not in pairs for i, j in likely[:, :2].tolist()]]
    for start in range(0, len(likely), _AT_ONCE):
        part = likely[start : start + _AT_ONCE]
        for (i, j, orientation), score in zip(part.tolist(), _scores(detail, part, threshold).tolist(), strict=True):
            if score >= threshold:
                pairs[i, j] = Pair(i, j, score, orientation)
    groups = components(len(thumbs_NPP), pairs)
    return Duplicates(tuple(pairs[key] for key in sorted(pairs)), groups)


def _threshold(detail: _Detail, count: int) -> float:
    """The correlation that counts as the same picture in this set of `count` images, in [0.75, 0.9]."""
    if count < 10:
        return SAME
    draw = rng(0, "duplicates", "chance")
    pairs = [draw.choice(count, 2, replace=False) for _ in range(_CHANCE_PAIRS)]
    chance = np.arctanh(np.clip([crop_correlation(*detail.of([(i, 0), (j, 0)])) for i, j in pairs], -_ALIKE, _ALIKE))
    middle = float(np.median(chance))
    deviation = 1.4826 * float(np.median(np.abs(chance - middle)))  # of a normal distribution, blind to true copies
    return float(np.clip(np.tanh(middle + _CHANCE_DEVIATIONS * deviation), SAME, _STRICTEST))


def _equal(hashes: np.ndarray) -> list[Pair]:
    numbers = renumbered(hashes)
    order = np.argsort(numbers, kind="stable")
    same = np.diff(numbers[order]) == 0
    return [Pair(int(i), int(j), 1.0) for i, j in zip(order[:-1][same], order[1:][same], strict=True)]


class _Kept(Generic[Key, Value]):
    """Values that `make` computes for many keys at once; about `most` of the latest are kept."""

    def __init__(self, make: Callable[[list[Key]], Iterable[Value]], most: int) -> None:
        self._make, self._most = make, most
        self._values: dict[Key, Value] = {}

    def __call__(self, keys: Iterable[Key]) -> list[Value]:
        """The values of `keys`, in their order."""
        wanted = list(keys)
        if missing := [key for key in dict.fromkeys(wanted) if key not in self._values]:
            self._values.update(zip(missing, self._make(missing), strict=True))
        found = [self._values[key] for key in wanted]
        for key in list(itertools.islice(self._values, max(0, len(self._values) - self._most))):
            del self._values[key]
        return found


class _Detail:
    """Fine structure of the thumbnails without what the whole set has in common. Views: (image, orientation)."""

    def __init__(self, thumbs: np.ndarray) -> None:
        self._thumbs = thumbs
        chosen = np.arange(len(thumbs))
        if len(thumbs) > _MEAN_IMAGES:
            chosen = np.sort(rng(0, "duplicates", "mean").choice(len(thumbs), _MEAN_IMAGES, replace=False))
        total = np.zeros(thumbs.shape[1:], dtype=np.float32)
        for start in range(0, len(chosen), _AT_ONCE):
            total += _unit(_fine(thumbs[chosen[start : start + _AT_ONCE]])).sum(axis=0)
        # A small set's mean is mostly its own images: trust it as it grows.
        self._common = total / (len(chosen) + 50)
        self._energy = float((self._common**2).sum())
        self._upright = _Kept[int, np.ndarray](lambda images: _unit(_fine(self._thumbs[images])), _DETAILS)
        self.of = _Kept[View, np.ndarray](self._of, _DETAILS)
        self.looked_at = _Kept[View, Look](lambda views: first_looks(np.stack(self.of(views))), _LOOKS)

    def _of(self, views: list[View]) -> np.ndarray:
        """float32 [B, P, P], each of mean 0 and norm 1."""
        upright = self._upright(image for image, _ in views)
        fine = np.stack([orient(one, orientation) for one, (_, orientation) in zip(upright, views, strict=True)])
        if self._energy > 0:
            shared = (fine * self._common).sum(axis=(1, 2), keepdims=True) / self._energy
            fine = fine - self._common * shared
        return _unit(fine - fine.mean(axis=(1, 2), keepdims=True))


def _fine(images: np.ndarray) -> np.ndarray:
    """float32 [B, P, P]."""
    images = images.astype(np.float32)
    smoothing = _smoothing(images.shape[-1])
    fine = images - smoothing @ images @ smoothing.T
    most = _BRIGHTEST * fine.std(axis=(1, 2), keepdims=True)
    return np.clip(fine, -most, most)


@cache
def _smoothing(px: int) -> np.ndarray:
    """float32 [P, P]: a Gaussian of _DETAIL_PX along one axis as a matrix; pixels beyond the edge mirror those before it."""
    from scipy.ndimage import gaussian_filter1d  # here: worker processes import this module, and none calls this

    return gaussian_filter1d(np.eye(px, dtype=np.float32), _DETAIL_PX, axis=0, truncate=2.5)


def _unit(images: np.ndarray) -> np.ndarray:
    return images / np.maximum(np.linalg.norm(images, axis=(1, 2), keepdims=True), 1e-6)


def _scores(detail: _Detail, pairs_M3: np.ndarray, enough: float) -> np.ndarray:
    """float [M]: the correlation of fine structure of likely pairs once the orientation of the second, or its small change, is undone.

    What reaches `enough` is not searched further.
    """
    turned = np.where(pairs_M3[:, 2] < ORIENTATIONS, pairs_M3[:, 2], 0)
    wholes, others = (
        [(int(i), 0) for i in pairs_M3[:, 0]],
        list(zip(pairs_M3[:, 1].tolist(), turned.tolist(), strict=True)),
    )
    first, second = np.stack(detail.of(wholes)), np.stack(detail.of(others))
    scores = np.full(len(pairs_M3), -1.0)
    for place in np.flatnonzero(pairs_M3[:, 2] >= ORIENTATIONS):
        change = CHANGES[pairs_M3[place, 2] - ORIENTATIONS]
        scores[place] = registered(first[place], second[place], change, hopeless=_HOPELESS)
    scores = np.where(scores >= enough, scores, np.maximum(scores, (first * second).sum(axis=(1, 2))))
    left = np.flatnonzero(scores < enough)
    if len(left):
        looks = detail.looked_at([wholes[place] for place in left]), detail.looked_at([others[place] for place in left])
        forth, back = seen(*looks), seen(*looks[::-1])
        for number, place in enumerate(left):
            scores[place] = max(
                scores[place],
                _cropped(first[place], second[place], forth, number, enough),
                _cropped(second[place], first[place], back, number, enough),
            )
    return scores


def _cropped(whole: np.ndarray, cropped: np.ndarray, look: Seen, number: int, enough: float) -> float:
    """The best correlation, in [-1, 1], of `whole` with a crop of the other; where the first look is hopeless, what it saw."""
    correlation = float(look.correlation[number])
    if correlation < _HOPELESS:
        return correlation
    found = best_crop(whole, cropped, int(look.rows[number]), int(look.columns[number]))
    return any_crop(whole, cropped) if enough - _CLOSE <= found < enough else found
