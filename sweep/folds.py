"""The folds as a training worker sees them: decoded once and shared by all trials of a node, or left in their shards.

Which of the two changes nothing that a trial computes: the same seed gives the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
import ray.data

from sweep.nodes import alive
from sweep.prepare import FOLD_BACK, FOLDS, TARGET, TARGET_TO_SOURCE, Data
from sweep.shards.image_set import ImageSet
from sweep.shards.splits import UNUSED
from sweep.shards.stream import TASK_CPUS, decoded

RESIDENT, STREAM = "resident", "stream"
_DOMAINS = ("source", TARGET)
_SHARE = 0.5  # of a node's object store that resident images may take; blocks on their way in need room too


@dataclass(frozen=True)
class SharedImages:
    """How the workers of a run get their images; `held` has a reference to each domain's decoded array when resident."""

    loading: str
    held: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[Any, ...] = ()  # beside each array a number that says whether it came about


def share_images(data: Data) -> SharedImages:
    """Begin to decode both domains into the object store, unless they are to be streamed; waits for nothing."""
    if loading_of(data.loading, decoded_bytes(data), _smallest_store()) == STREAM:
        return SharedImages(STREAM)
    begun = {name: _decode.options(num_returns=2).remote(data, name) for name in _DOMAINS}
    images, counts = ({name: references[which] for name, references in begun.items()} for which in (0, 1))
    return SharedImages(RESIDENT, images, tuple(counts.values()))


def loading_of(wanted: str, size: int, store: float) -> str:
    """`wanted`, or what `auto` makes of `size` bytes of decoded images and object stores of `store` bytes."""
    if wanted != "auto":
        return wanted
    return RESIDENT if size <= _SHARE * store else STREAM


def decoded_bytes(data: Data) -> int:
    """Bytes that every image of both domains takes once decoded."""
    return sum(len(_rows(data, name)) for name in _DOMAINS) * data.image_px**2


def wait_for(images: SharedImages) -> None:
    """Return when every domain is decoded, wherever; raises what decoding raised."""
    try:
        ray.get(list(images.counts))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


class Folds:
    """Every fold of a run, by direction; made once in a worker and asked for by each of its jobs."""

    def __init__(self, data: Data, images: SharedImages) -> None:
        self._data, self._loading = data, images.loading
        self._held = {name: ray.get(reference) for name, reference in images.held.items()}
        self._made: dict[str, dict[str, ImageSet]] = {}

    def seen_by(self, config: Mapping[str, Any]) -> Mapping[str, ImageSet]:
        """train, val, test and target as a trial of this configuration sees them."""
        folds, keep = self.of(config["direction"]), config.get("train_images")
        return folds if keep is None else {**folds, "train": folds["train"].subset(np.arange(keep))}

    def of(self, direction: str) -> Mapping[str, ImageSet]:
        """train, val, test and target as a trial of `direction` sees them."""
        if direction not in self._made:
            data = self._data.directed(direction)
            made = data.open if self._loading == STREAM else lambda fold: data.image_set(fold, self._images(direction, fold))
            self._made[direction] = {fold: made(fold) for fold in FOLDS}
        return self._made[direction]

    def _images(self, direction: str, fold: str) -> np.ndarray:
        rows = self._data.directed(direction).fold(fold)
        name = _DOMAINS[(fold == TARGET) != (direction == TARGET_TO_SOURCE)]
        first = int(np.searchsorted(_rows(self._data, name).index, rows.index[0]))
        return self._held[name][first : first + len(rows)]  # the split stands fold by fold: a view, no copy


def _rows(data: Data, domain: str) -> Any:
    """The rows of the split that lie in one domain's folder and that some trial may see."""
    split = data.split
    rows = split[(split["fold"] == TARGET) == (domain == TARGET)]
    return rows if FOLD_BACK in rows else rows[rows["fold"] != UNUSED]


def decode_domain(data: Data, domain: str) -> np.ndarray:
    """uint8 [N, px, px] of a domain's images, in the order of the split."""
    folder = data.folder(TARGET if domain == TARGET else FOLDS[0])
    return decoded(folder, data.image_px, list(_rows(data, domain)["image_id"]), data.fit)


@ray.remote(num_cpus=TASK_CPUS)
def _decode(data: Data, domain: str) -> tuple[np.ndarray, int]:
    """A domain's images, of which one copy serves all processes of a node, and their number."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    images = decode_domain(data, domain)
    return images, len(images)


def _smallest_store() -> float:
    """Bytes of the smallest object store among the nodes that are there."""
    return min(node["Resources"].get("object_store_memory", 0.0) for node in alive())
