"""Small changes of view: enlarged by up to a tenth, or turned by a few degrees. What they make of a thumbnail, and how one is undone.

A change is linear in the pixels, so the cosine coefficients of all changed thumbnails follow from one matrix product. A likely pair is
then registered: a similarity (scale, rotation, shift) is fitted by Gauss-Newton steps on the fine structure (Lucas & Kanade 1981), from
the change that the fingerprints point to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

_STEPS = 8  # Gauss-Newton steps; the start is within a pixel or two of the end
_FEW_STEPS = 3  # after which the fit may end
_GAIN, _GAIN_LEFT = (
    0.002,
    0.2,
)  # correlation that one more step has to gain, and that the steps left are trusted to gain at most
_LEAST_OVERLAP = 0.6  # of a thumbnail's pixels: agreement on a corner proves nothing
_LARGEST = (0.2, 0.18)  # change of scale (its logarithm) and of angle (radians) from which the fit has run away
_RIM_PX = 2  # pixels at the edge are left out: high-pass filtered against nothing


@dataclass(frozen=True)
class Change:
    """The second image of a pair is the first one enlarged by `zoom` and turned by `degrees` about its middle."""

    name: str
    zoom: float = 1.0
    degrees: float = 0.0

    @property
    def start(self) -> np.ndarray:
        """Logarithm of the scale, angle in radians, shift down and right in pixels: what the registration begins with."""
        return np.array([np.log(self.zoom), np.deg2rad(self.degrees), 0.0, 0.0])


# Coefficients of an image and of its copy at 5 to 10 % or 2 to 6 degrees correlate at 0.96 or more through the nearest of these.
CHANGES = (
    Change("enlarged", zoom=1.075),
    Change("reduced", zoom=1 / 1.075),
    Change("turned by a few degrees", degrees=4.0),
    Change("turned by a few degrees", degrees=-4.0),
)


def sampling(change: np.ndarray, px: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the first image lies in the second: rows and columns float64 [px, px], for a change [4] as in `Change.start`."""
    scale, angle, down, right = change
    middle = (px - 1) / 2
    y, x = np.mgrid[:px, :px] - middle
    a, b = np.exp(scale) * np.cos(angle), np.exp(scale) * np.sin(angle)
    return a * y - b * x + middle + down, b * y + a * x + middle + right


@cache
def undone(change: Change, px: int, coefficients: int) -> np.ndarray:
    """float32 [coefficients^2, px^2]: from the pixels of a thumbnail to the cosine coefficients of it with the change taken back.

    Pixels that would lie outside repeat the edge.
    """
    from scipy.sparse import csr_array  # here: worker processes import this module, and none compares images

    rows, columns = (np.clip(place, 0, px - 1) for place in sampling(change.start, px))
    basis = cosine_basis(px, coefficients)
    products = np.einsum("ky,lx->klyx", basis, basis).reshape(coefficients**2, px * px)
    top, left = np.minimum(rows.astype(int), px - 2), np.minimum(columns.astype(int), px - 2)
    sampled = csr_array((px * px, px * px))
    for below in (0, 1):
        for beside in (0, 1):
            weight = np.abs(1 - below - (rows - top)) * np.abs(1 - beside - (columns - left))
            place = ((top + below) * px + left + beside).ravel()
            sampled = sampled + csr_array((weight.ravel(), (np.arange(px * px), place)), shape=sampled.shape)
    return np.asarray((sampled.T @ products.T).T, dtype=np.float32)


def cosine_basis(px: int, coefficients: int) -> np.ndarray:
    """float32 [K, px]: the first K orthonormal DCT-II vectors."""
    angle = np.pi * np.outer(np.arange(coefficients), np.arange(px) + 0.5) / px
    basis = np.cos(angle) * np.sqrt(2 / px)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def registered(first: np.ndarray, second: np.ndarray, change: Change, hopeless: float = -1.0) -> float:
    """Correlation, in [-1, 1], of fine structure [P, P] with that of its changed copy, after the best similarity near `change`.

    The fit ends where it gains nothing more, or where it has come nowhere near `hopeless` after a few steps.
    """
    px = len(first)
    p, best = change.start, -1.0
    y, x = np.mgrid[:px, :px] - (px - 1) / 2
    images = np.stack([second, *np.gradient(second.astype(np.float64))]).reshape(3, -1)
    near, far = _RIM_PX, px - 1 - _RIM_PX
    middle = (np.abs(y) < px / 2 - _RIM_PX) & (np.abs(x) < px / 2 - _RIM_PX)
    for step_number in range(_STEPS):
        rows, columns = sampling(p, px)
        inside = np.flatnonzero((rows >= near) & (rows <= far) & (columns >= near) & (columns <= far) & middle)
        if len(inside) < _LEAST_OVERLAP * px**2 or (np.abs(p[:2]) > _LARGEST).any():
            break
        rows, columns = rows.ravel()[inside], columns.ravel()[inside]
        seen, down, right = _sampled(images, rows, columns, px)
        wanted = first.ravel()[inside]
        wanted, seen = wanted - wanted.mean(), seen - seen.mean()
        energy = float(seen @ seen)
        if energy <= 0:
            break
        found = float(wanted @ seen) / max(1e-12, np.sqrt(energy * float(wanted @ wanted)))
        if step_number >= _FEW_STEPS and (found - best < _GAIN or found < hopeless - _GAIN_LEFT):
            return max(best, found)
        best = max(best, found)
        along, across = rows - (px - 1) / 2 - p[2], columns - (px - 1) / 2 - p[3]
        jacobian = np.stack([down * along + right * across, right * along - down * across, down, right])
        gain = float(wanted @ seen) / energy
        # the normal equations of four unknowns: several times as fast as the decomposition of thousands of rows
        step, *_ = np.linalg.lstsq(gain * (jacobian @ jacobian.T), jacobian @ (wanted - gain * seen), rcond=None)
        p = p + step
    return best


def _sampled(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, px: int) -> np.ndarray:
    """float64 [M, n]: M images [M, px * px] at n places inside them, between pixels linearly."""
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    down, right = rows - top, columns - left
    place = top * px + left
    corners = [images.take(place + step, axis=1) for step in (0, 1, px, px + 1)]
    above = corners[0] * (1 - right) + corners[1] * right
    below = corners[2] * (1 - right) + corners[3] * right
    return np.asarray(above * (1 - down) + below * down)
