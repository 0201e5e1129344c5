"""Images that stay in their shards: read and decoded where they are indexed, never held whole."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.core.errors import InputError
from sweep.core.location import absolute, below, located
from sweep.shards.checked import check_part, checked_manifest
from sweep.shards.contents import damaged
from sweep.shards.lazy import LazyImages
from sweep.shards.reader import decode_column, read_batches

_COLUMNS = ["image", "height", "width"]
_KEPT_GROUPS = 2  # row groups remembered: walking through a fold in small slices reads each of them once
_OPEN_PARTS = 32  # per process, least recently used closed first
_READING = threading.Lock()  # an open part is shared by all images of a process, and Arrow's reader is not thread-safe


class StoredImages(LazyImages):
    """Images of a shard folder, in the order of `image_ids`, decoded to `image_px` as `reader.read_images` does.

    Raises InputError when an id is not in the folder.
    """

    def __init__(self, folder: Path | str, image_px: int, image_ids: Sequence[str], fit: str = "pad") -> None:
        self.folder, self.image_px, self.fit = absolute(folder), image_px, fit
        self._parts = _parts(self.folder)
        self._first_rows = _first_rows(self._parts)  # of every row group, over all parts
        self._rows = _rows_of(self.folder, image_ids)
        self._recent: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": OrderedDict()}

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, px, px]; every row group that holds one of them is read once."""
        rows = self._rows[positions]
        images = np.empty((len(rows), self.image_px, self.image_px), dtype=np.uint8)
        starts = self._first_rows["row"]
        groups = np.searchsorted(starts, rows, side="right") - 1
        for group in np.unique(groups):
            here = np.flatnonzero(groups == group)
            self._fill(images, here, self._group(int(group)), rows[here] - starts[group])
        return images

    def _fill(self, images: np.ndarray, here: np.ndarray, table: pa.Table, rows: np.ndarray) -> None:
        """Put the images at `rows` of one row group in their places."""
        if self._as_stored(table):
            stored = self._decoded(table)  # a view
            for place, row in zip(here.tolist(), rows.tolist(), strict=True):
                images[place] = stored[row]
        else:
            images[here] = self._decoded(table.take(rows))

    def _decoded(self, table: pa.Table) -> np.ndarray:
        pixels, heights, widths = (_whole(table[name]) for name in _COLUMNS)
        return decode_column(pixels, heights, widths, self.image_px, self.fit)

    def _as_stored(self, table: pa.Table) -> bool:
        """Whether nothing has to be resized."""
        return all(bool((table[name].to_numpy() == self.image_px).all()) for name in ("height", "width"))

    def _group(self, number: int) -> pa.Table:
        if number not in self._recent:
            self._recent[number] = self._read_group(number)
        self._recent.move_to_end(number)
        while len(self._recent) > _KEPT_GROUPS:
            self._recent.popitem(last=False)
        return self._recent[number]

    def _read_group(self, number: int) -> pa.Table:
        path, content = self._parts[self._first_rows["part"][number]]
        try:
            with _READING:
                return _opened(path, content).read_row_group(
                    int(self._first_rows["group"][number]), columns=_COLUMNS, use_threads=False
                )
        except (pa.ArrowException, OSError) as broken:
            raise damaged(path, broken) from None


def _parts(folder: str) -> list[tuple[str, str]]:
    """Address and content hash of every Parquet part, in order."""
    return [(below(folder, part.file), part.sha256) for part in checked_manifest(folder).parts]


def _first_rows(parts: Sequence[tuple[str, str]]) -> dict[str, np.ndarray]:
    """Of every row group: its first row counted through the folder, its part and its number there."""
    found: dict[str, list[int]] = {"row": [], "part": [], "group": []}
    row = 0
    for number, part in enumerate(parts):
        metadata = _opened(*part).metadata
        for group in range(metadata.num_row_groups):
            for name, value in (("row", row), ("part", number), ("group", group)):
                found[name].append(value)
            row += metadata.row_group(group).num_rows
    return {name: np.array(values, dtype=np.int64) for name, values in found.items()}


@lru_cache(maxsize=_OPEN_PARTS)
def _opened(path: str, content: str) -> pq.ParquetFile:
    """A part, kept open: its footer would otherwise be read anew for every row group, which costs as much as the images.

    `content` tells a part from what a later import may have written to the same place.
    """
    check_part(path, content)  # a worker on another machine than the one that verified the folder
    files, place = located(path)
    try:
        return pq.ParquetFile(files.open_input_file(place))
    except (pa.ArrowException, OSError) as broken:
        raise damaged(path, broken) from None


def _rows_of(folder: str, image_ids: Sequence[str]) -> np.ndarray:
    """int64 [N]: where each id stands in the folder."""
    names = [batch.column("image_id").to_pandas() for batch in read_batches(folder, ["image_id"])]
    known = pd.concat(names, ignore_index=True)
    place = pd.Series(np.arange(len(known)), index=known).reindex(list(image_ids))
    if place.isna().any():
        missing = place.index[place.isna()][0]
        raise InputError(
            folder,
            f"image {missing!r} is not in this data set",
            "use the ids of a split of this folder as it is now: was it imported anew since?",
        )
    return place.to_numpy(dtype=np.int64)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
