"""Images that look like an array and are read only where they are indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np


class LazyImages:
    """N images uint8 [N, px, px] behind an array's face; a subclass reads those at given positions.

    Indexing with a slice, positions or a bool mask reads them; `at` selects without reading.
    """

    image_px: int
    dtype = np.dtype(np.uint8)
    ndim = 3

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, px, px] of the images at `positions` int64 [n], in that order."""
        raise NotImplementedError

    def at(self, indices: np.ndarray) -> LazyImages:
        """The images at `indices` (positions or a bool mask), still unread."""
        return Chosen(self, np.arange(len(self))[indices])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, px, px)."""
        return (len(self), self.image_px, self.image_px)

    @property
    def nbytes(self) -> int:
        """Bytes that all of them decoded would take."""
        return len(self) * self.image_px**2

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: Any) -> np.ndarray:
        positions = np.arange(len(self))[index]
        return self.read(np.atleast_1d(positions)).reshape(*np.shape(positions), self.image_px, self.image_px)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[position] for position in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


if TYPE_CHECKING:
    # Lazy images have what is used of an array (shape, dtype, length, indexing), so functions that index may be typed for arrays.
    Images: TypeAlias = np.ndarray
else:
    Images: TypeAlias = np.ndarray | LazyImages


class Chosen(LazyImages):
    """Some of other lazy images, in an order of their own."""

    def __init__(self, whole: LazyImages, positions: np.ndarray) -> None:
        self._whole, self._positions, self.image_px = whole, positions, whole.image_px

    def __len__(self) -> int:
        return len(self._positions)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, px, px]."""
        return self._whole.read(self._positions[positions])


class Joined(LazyImages):
    """Images one after the other, some still in their shards and some in memory."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts, self.image_px = list(parts), parts[0].shape[1]
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, px, px]."""
        images = np.empty((len(positions), self.image_px, self.image_px), dtype=np.uint8)
        owners = np.searchsorted(self._ends, positions, side="right")
        for number, part in enumerate(self._parts):
            mine = np.flatnonzero(owners == number)
            if len(mine):
                images[mine] = part[positions[mine] - (self._ends[number] - len(part))]
        return images


class Changed(LazyImages):
    """Other lazy images after `change`, which takes and gives uint8 [n, px, px]."""

    def __init__(self, before: LazyImages, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._before, self._change, self.image_px = before, change, before.image_px

    def __len__(self) -> int:
        return len(self._before)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, px, px]."""
        return self._change(self._before.read(positions))


def changed(images: Images, change: Callable[[np.ndarray], np.ndarray]) -> Images:
    """The images after `change`, which takes and gives uint8 [n, px, px]; lazy ones are changed as they are read."""
    return Changed(images, change) if isinstance(images, LazyImages) else change(images)


def taken(images: Images, indices: np.ndarray) -> Images:
    """The images at `indices`, read only if they are in memory anyway."""
    return images.at(indices) if isinstance(images, LazyImages) else images[indices]


def joined(parts: Sequence[Images]) -> Images:
    """One after the other: an array of arrays, lazy as soon as one part is."""
    if any(isinstance(part, LazyImages) for part in parts):
        return cast("Images", Joined(parts))
    return np.concatenate(parts)
