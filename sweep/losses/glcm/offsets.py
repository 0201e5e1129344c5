"""Which pixel pairs a distance and an angle mean, in scikit-image's convention."""

from __future__ import annotations

import math
from collections.abc import Sequence

Offset = tuple[int, int]  # rows down, columns right
FOUR_ANGLES = tuple(k * math.pi / 4 for k in range(4))
EIGHT_ANGLES = tuple(k * math.pi / 4 for k in range(8))


def pair_offsets(distances: Sequence[float], angles: Sequence[float]) -> list[Offset]:
    """One offset per distance and angle (radians), angles running fastest; halves are rounded away from zero.

    Distance 3 at 45 degrees is (2, 2), not (3, 3): scikit-image rounds the end of the arrow.
    """
    return [(_rounded(math.sin(a) * d), _rounded(math.cos(a) * d)) for d in distances for a in angles]


def pair_slices(height: int, width: int, offset: Offset) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the first and of the second pixel of all pairs that lie inside; empty for long offsets."""
    dy, dx = offset
    return (_part(dy, height), _part(dx, width)), (_part(-dy, height), _part(-dx, width))


def pair_counts(size: tuple[int, int], offsets: Sequence[Offset]) -> list[int]:
    """How many pairs an image of (height, width) has at each offset."""
    return [max(0, size[0] - abs(dy)) * max(0, size[1] - abs(dx)) for dy, dx in offsets]


def _part(step: int, length: int) -> slice:
    start = min(max(0, -step), length)
    return slice(start, max(start, length - max(0, step)))


def _rounded(value: float) -> int:
    whole = math.floor(abs(value))
    # Not floor(x + 0.5): that sum itself rounds, and sin(30 degrees) would become 1.
    return int(math.copysign(whole + (abs(value) - whole >= 0.5), value))
