"""points -> crowding distance and order of preference; every objective is to be maximized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweep.core.pareto import nondominated_rank

# N points, M objectives.


def oriented(values_NM: np.ndarray, goals: Sequence[str]) -> np.ndarray:
    """Values [N, M] with the sign of every "minimize" column turned, so that more is better throughout."""
    signs = np.array([1.0 if goal == "maximize" else -1.0 for goal in goals])
    return np.asarray(values_NM, dtype=float).reshape(-1, len(signs)) * signs


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
