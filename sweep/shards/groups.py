"""Which images must stay together: patients, identical pixels and near-duplicates, closed under each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def components(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """int64 [count]: the number of the connected component of each of `count` images under `pairs`.

    Components are numbered by their first image. Minimum labels with pointer jumping (Shiloach and Vishkin 1982): every sweep groups its
    images before it starts, and SciPy's graph routines take half a second to import.
    """
    edges = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs), dtype=np.int64).reshape(-1, 2)
    lowest = np.arange(count)
    while True:
        ends = lowest[edges]
        if (ends[:, 0] == ends[:, 1]).all():
            return renumbered(lowest)
        np.minimum.at(lowest, ends.max(1), ends.min(1))
        while ((further := lowest[lowest]) != lowest).any():
            lowest = further


def renumbered(values: np.ndarray) -> np.ndarray:
    """int64 [N]: equal values get equal numbers, counted from 0 in order of first appearance."""
    return pd.factorize(np.asarray(values))[0].astype(np.int64)


def closed_groups(*keys: np.ndarray) -> np.ndarray:
    """int64 [N]: images that share any key, directly or through others, get the same number.

    Each of `keys` is [N]; an empty text in a key means "nothing known" and ties no rows.
    """
    count = len(keys[0])
    edges = [chain for key in keys for chain in (_chain(np.asarray(key)),) if len(chain)]
    return components(count, np.concatenate(edges) if edges else [])


def _chain(key: np.ndarray) -> np.ndarray:
    """Edges [E, 2] that link the images of every value of `key` one to the next."""
    known = np.flatnonzero(key != "") if key.dtype.kind in "UOT" else np.arange(len(key))
    numbers = renumbered(key[known])
    order = known[np.argsort(numbers, kind="stable")]
    same = np.diff(np.sort(numbers)) == 0
    return np.stack([order[:-1][same], order[1:][same]], axis=1)
