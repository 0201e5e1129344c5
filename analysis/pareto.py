"""Fronts: who is beaten by nobody, how sure that is, and how much room the front covers."""

from __future__ import annotations

import numpy as np

# N configurations, M objectives (all to be maximized), B bootstrap draws.


def dominated_by_any(points: np.ndarray) -> np.ndarray:
    """True where another row of [N, M] is at least as good everywhere and better somewhere; NaN rows are dominated."""
    points = np.asarray(points, dtype=float)
    absent = np.isnan(points).any(axis=1)
    beaten = absent.copy()
    alive = np.flatnonzero(~absent)
    # Best sums first: dominators come early, so most rows fall to the first few comparisons.
    order = alive[np.argsort(-points[alive].sum(axis=1), kind="stable")]
    front: list[int] = []
    for row in order:
        held = points[front]
        if len(front) and ((held >= points[row]).all(axis=1) & (held > points[row]).any(axis=1)).any():
            beaten[row] = True
        else:
            front.append(row)
    return beaten


def front_numbers(points: np.ndarray) -> np.ndarray:
    """1 for the front, 2 for the front of the rest, and so on [N]; rows with NaN come after the last front."""
    points = np.asarray(points, dtype=float)
    numbers = np.zeros(len(points), dtype=int)
    left = np.flatnonzero(~np.isnan(points).any(axis=1))
    level = 0
    while len(left):
        level += 1
        beaten = dominated_by_any(points[left])
        numbers[left[~beaten]] = level
        left = left[beaten]
    numbers[numbers == 0] = level + 1
    return numbers


def front_probability(draws: np.ndarray) -> np.ndarray:
    """Share of the bootstrap draws [B, N, M] in which each configuration is on the front [N]."""
    return np.mean([~dominated_by_any(points) for points in draws], axis=0)


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume dominated by [N, M] rows above `reference` [M]; exact, by slicing along the last objective."""
    points = np.asarray(points, dtype=float)
    points = points[(points > reference).all(axis=1)]
    if not len(points):
        return 0.0
    points = points[~dominated_by_any(points)]
    return _volume(points - reference)


def _volume(points: np.ndarray) -> float:
    if points.shape[1] == 1:
        return float(points.max())
    order = np.argsort(-points[:, -1], kind="stable")
    points = points[order]
    edges = np.append(points[:, -1], 0.0)
    total = 0.0
    for count in range(1, len(points) + 1):
        depth = edges[count - 1] - edges[count]
        if depth > 0:
            above = np.unique(points[:count, :-1], axis=0)
            total += depth * _volume(above[~dominated_by_any(above)])
    return total
