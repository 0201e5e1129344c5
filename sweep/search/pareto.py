"""points -> fronts, crowding and hypervolume; every objective is to be maximized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# N points, M objectives.


def oriented(values_NM: np.ndarray, goals: Sequence[str]) -> np.ndarray:
    """Values [N, M] with the sign of every "minimize" column turned, so that more is better throughout."""
    signs = np.array([1.0 if goal == "maximize" else -1.0 for goal in goals])
    return np.asarray(values_NM, dtype=float).reshape(-1, len(signs)) * signs


def nondominated_rank(points_NM: np.ndarray) -> np.ndarray:
    """1 for the front, 2 for the front of what is left, and so on [N]; points with NaN come after the last front."""
    points = np.asarray(points_NM, dtype=float)
    ranks = np.zeros(len(points), dtype=int)
    whole = ~np.isnan(points).any(axis=1)
    left, level = np.flatnonzero(whole), 0
    while len(left):
        level += 1
        on_front = _front(points[left])
        ranks[left[on_front]] = level
        left = left[~on_front]
    ranks[~whole] = level + 1
    return ranks


def crowding_distance(points_NM: np.ndarray) -> np.ndarray:
    """Room around each point of one front [N]: per objective the gap between its neighbours over the range; the ends have infinite room.

    Deb et al. 2002. An objective in which all points agree adds nothing.
    """
    points = np.asarray(points_NM, dtype=float)
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]] if len(order) else 0.0
        if extent > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
            distance[order[[0, -1]]] = np.inf
    return distance


def preference(points_NM: np.ndarray) -> np.ndarray:
    """How many points come strictly before each one [N]: by front, then by crowding distance, then by the sum of the scaled objectives.

    The last one orders the ends of a front, whose room is infinite: with three objectives they are a good part of a small set.
    """
    points = np.asarray(points_NM, dtype=float)
    ranks = nondominated_rank(points)
    room = np.zeros(len(points))
    for rank in np.unique(ranks):
        room[ranks == rank] = crowding_distance(points[ranks == rank])
    extent = np.ptp(points, axis=0)
    total = ((points - points.min(axis=0)) / np.where(extent > 0, extent, 1.0)).sum(axis=1)
    order = np.lexsort((-total, -room, ranks))
    keys = np.stack([ranks, room, total], axis=1)[order]
    first_of_equals = np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)])
    before = np.empty(len(points), dtype=int)
    before[order] = np.maximum.accumulate(np.where(first_of_equals, np.arange(len(points)), 0))
    return before


def hypervolume(points_NM: np.ndarray, reference_M: Sequence[float]) -> float:
    """Volume that the points cover above the reference, exactly: by sweeping in two objectives, by slices from three on.

    A point that does not exceed the reference in every objective covers nothing; neither does one with NaN.
    """
    reference = np.asarray(reference_M, dtype=float)
    points = np.asarray(points_NM, dtype=float).reshape(-1, len(reference))
    points = np.unique(points[(points > reference).all(axis=1)] - reference, axis=0)
    return _volume(points[_front(points)]) if len(points) else 0.0


def _front(points: np.ndarray) -> np.ndarray:
    """True where no other row is at least as good everywhere and better somewhere."""
    on_front = np.ones(len(points), dtype=bool)
    for row, point in enumerate(points):
        if on_front[row]:  # what a beaten row beats is beaten by the one that beat it
            on_front &= ~((point >= points).all(axis=1) & (point > points).any(axis=1))
    return on_front


def _volume(points: np.ndarray) -> float:
    if points.shape[1] == 1:
        return float(points.max())
    if points.shape[1] == 2:
        return _area(points)
    points = points[np.argsort(-points[:, -1], kind="stable")]
    depths = points[:, -1] - np.append(points[1:, -1], 0.0)
    return sum(depth * _volume(points[: count + 1, :-1]) for count, depth in enumerate(depths) if depth > 0)


def _area(points: np.ndarray) -> float:
    wide_first = points[np.argsort(-points[:, 0], kind="stable")]
    height = np.maximum.accumulate(wide_first[:, 1])
    return float((wide_first[:, 0] * np.diff(height, prepend=0.0)).sum())
