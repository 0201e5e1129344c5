"""The folds of a training worker: decoded once and shared by all trials of a node, or streamed from their shards.

The choice has no effect on results: the same seed gives the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sweep.data.datasets import FOLD_BACK, FOLDS, TARGET, TARGET_TO_SOURCE, Data
from sweep.shards.image_set import ImageSet
from sweep.shards.splits import UNUSED

RESIDENT, STREAM = "resident", "stream"
DOMAINS = ("source", TARGET)
SHARE_OF_STORE = 0.5  # of a node's object store that resident images may take; blocks in transit need room too


def loading_of(wanted: str, size: int, store: float) -> str:
    """`wanted`, or the choice of `auto` for `size` bytes of decoded images and object stores of `store` bytes."""
    if wanted != "auto":
        return wanted
    return RESIDENT if size <= SHARE_OF_STORE * store else STREAM


def decoded_bytes(data: Data) -> int:
    """Bytes that every image of both domains takes once decoded."""
    return sum(len(rows_of(data, name)) for name in DOMAINS) * data.image_px**2


class Folds:
    """Every fold of a run, by direction; made once per worker and used by all of its jobs."""

    def __init__(self, data: Data, loading: str, held: Mapping[str, np.ndarray] | None = None) -> None:
        """`held`: each domain's decoded images, uint8 [N, px, px] in the order of `rows_of`, where `loading` is resident."""
        self._data, self._loading, self._held = data, loading, held or {}
        self._made: dict[str, dict[str, ImageSet]] = {}

    def seen_by(self, config: Mapping[str, Any]) -> Mapping[str, ImageSet]:
        """train, val, test and target as a trial of this configuration sees them."""
        folds, keep = self.of(config["direction"]), config.get("train_images")
        return folds if keep is None else {**folds, "train": folds["train"].subset(np.arange(keep))}

    def of(self, direction: str) -> Mapping[str, ImageSet]:
        """train, val, test and target as a trial of `direction` sees them."""
        if direction not in self._made:
            data = self._data.directed(direction)
            made = (
                data.open
                if self._loading == STREAM
                else lambda fold: data.image_set(fold, self._images(direction, fold))
            )
            self._made[direction] = {fold: made(fold) for fold in FOLDS}
        return self._made[direction]

    def _images(self, direction: str, fold: str) -> np.ndarray:
        rows = self._data.directed(direction).fold(fold)
        name = DOMAINS[(fold == TARGET) != (direction == TARGET_TO_SOURCE)]
        first = int(np.searchsorted(rows_of(self._data, name).index, rows.index[0]))
        return self._held[name][first : first + len(rows)]  # the split is ordered by fold, so this is a view


def rows_of(data: Data, domain: str) -> Any:
    """The rows of the split that lie in one domain's folder and that some trial may see."""
    split = data.split
    rows = split[(split["fold"] == TARGET) == (domain == TARGET)]
    return rows if FOLD_BACK in rows else rows[rows["fold"] != UNUSED]


def image_ids_of(data: Data, domain: str) -> tuple[str, list[str]]:
    """A domain's shard folder, and the ids of the images of `rows_of` in their order."""
    return data.folder(TARGET if domain == TARGET else FOLDS[0]), list(rows_of(data, domain)["image_id"])
