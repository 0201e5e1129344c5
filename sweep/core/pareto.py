"""Pareto dominance, front numbers and hypervolume of points whose objectives are all maximized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# N points, M objectives (all to be maximized).


class _Front:
    """Rows that do not dominate one another, in an array that doubles when full."""

    def __init__(self, width: int) -> None:
        self._rows, self._count = np.empty((16, width)), 0

    def dominates(self, row: np.ndarray) -> bool:
        held = self._rows[: self._count]
        at_least = (held >= row).all(axis=1)
        return bool(at_least.any() and (held[at_least] > row).any())

    def add(self, row: np.ndarray) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = row
        self._count += 1


def _dominators_first(points: np.ndarray) -> np.ndarray:
    """Indices of the rows without NaN in descending lexicographic order.

    A row that dominates another one is lexicographically larger, also where the sums of the two are equal after rounding or infinite.
    """
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    return known[np.lexsort(-points[known].T[::-1])]


def dominated_by_any(points: np.ndarray) -> np.ndarray:
    """True where another row of [N, M] is at least as good everywhere and better somewhere; NaN rows are dominated."""
    points = np.asarray(points, dtype=float)
    beaten, front = np.ones(len(points), dtype=bool), _Front(points.shape[1])
    for row in _dominators_first(points):
        beaten[row] = front.dominates(points[row])
        if not beaten[row]:
            front.add(points[row])
    return beaten


def nondominated_rank(points: np.ndarray) -> np.ndarray:
    """1 for the front, 2 for the front of the rest, and so on [N]; rows with NaN come after the last front.

    A row's number is one more than the largest among the rows that dominate it. In lexicographic order these come before it, and their
    first objective is at least as good, so that one comparison of whole columns per further objective finds them: O(N^2 M), in numpy.
    """
    points = np.asarray(points, dtype=float)
    order = _dominators_first(points)
    columns = np.ascontiguousarray(points[order].T)
    found = np.zeros(len(order), dtype=int)
    equal_from = 0  # where the rows begin that are equal to this one, which do not dominate each other
    for place in range(len(order)):
        if place and (columns[:, place] != columns[:, equal_from]).any():
            equal_from = place
        at_least = np.ones(equal_from, dtype=bool)
        for column in columns[1:]:
            at_least &= column[:equal_from] >= column[place]
        found[place] = found[:equal_from][at_least].max(initial=0) + 1
    numbers = np.full(len(points), found.max(initial=0) + 1)
    numbers[order] = found
    return numbers


def hypervolume(points: np.ndarray, reference: Sequence[float] | np.ndarray) -> float:
    """Volume that [N, M] rows cover above `reference` [M], exactly: by sweeping in two objectives, by slices from three on.

    A row that does not exceed the reference in every objective covers nothing; neither does one with NaN.
    """
    reference = np.asarray(reference, dtype=float)
    points = np.asarray(points, dtype=float).reshape(-1, len(reference))
    points = np.unique(points[(points > reference).all(axis=1)] - reference, axis=0)
    return _volume(points[~dominated_by_any(points)]) if len(points) else 0.0


def _volume(points: np.ndarray) -> float:
    if points.shape[1] == 1:
        return float(points.max())
    if points.shape[1] == 2:
        return _area(points)
    points = points[np.argsort(-points[:, -1], kind="stable")]
    total = 0.0
    for count, depth in enumerate(points[:, -1] - np.append(points[1:, -1], 0.0), start=1):
        if depth > 0:
            above = np.unique(points[:count, :-1], axis=0)
            total += depth * _volume(above[~dominated_by_any(above)])
    return float(total)


def _area(points: np.ndarray) -> float:
    wide_first = points[np.argsort(-points[:, 0], kind="stable")]
    height = np.maximum.accumulate(wide_first[:, 1])
    return float((wide_first[:, 0] * np.diff(height, prepend=0.0)).sum())
