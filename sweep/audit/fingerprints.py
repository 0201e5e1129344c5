"""Small thumbnails -> pairs of images that may show the same thing, however they were turned.

A thumbnail's lowest cosine coefficients, whitened by the data set's own mean and spread, are its fingerprint
(pHash, Zauner 2010, keeps their signs only). Flips and quarter turns only change signs and order of the
coefficients, so all eight are compared without touching a pixel; small changes of view are compared by `small_changes`. Whitening matters:
all chest X-rays are alike before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.audit.small_changes import CHANGES, cosine_basis, undone

# N images, P thumbnail side, K coefficients per direction.
THUMB_PX = 64
_K = 10
_PRIOR_IMAGES = 50  # weight, in images, of the general spectrum against the data set's own
_COLUMNS, _ROWS = 2048, 1024  # images compared at once: 8 MB of similarities
ORIENTATIONS = 8
LIKELY = 0.5  # cosine from which a pair is worth comparing pixel by pixel
LIKELY_CHANGED = (
    0.8  # the same where a small change is taken back: true copies then have 0.96, two strangers hardly ever 0.8
)
_NEAREST = 4  # such pairs kept per image: bounds the work on sets where all images are alike


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """One of the eight flips and quarter turns of [..., P, P]; orientation 0, and a small change (8 and more), is the image itself."""
    if orientation >= ORIENTATIONS:
        return image
    if orientation & 4:
        image = np.swapaxes(image, -1, -2)
    if orientation & 2:
        image = image[..., ::-1, :]
    if orientation & 1:
        image = image[..., ::-1]
    return image


def describe_orientation(orientation: int) -> str:
    """What was done to the copy, in words; '' for nothing."""
    names = ("", "mirrored", "upside down", "turned 180", "transposed", "turned 90", "turned 270", "transverse")
    return (*names, *(change.name for change in CHANGES))[orientation]


@dataclass(frozen=True)
class Fingerprints:
    """Cosine coefficients float32 [N, K, K], those with each small change taken back [changes, N, K, K], and the mean and spread [K, K]
    that they are whitened by."""

    coefficients: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    changed: np.ndarray

    def vectors(self, images: slice | np.ndarray, orientation: int = 0) -> np.ndarray:
        """Unit vectors float32 [n, K*K - 1] of some images in one orientation, from 8 on with a small change taken back; flat images give zeros."""
        if orientation >= ORIENTATIONS:
            turned = self.changed[orientation - ORIENTATIONS][images]
        else:
            turned = _oriented(self.coefficients[images], orientation)
        whitened = (turned - self.mean) / self.spread
        flat = whitened.reshape(len(whitened), -1)[:, 1:]  # without the mean brightness
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        return flat / np.maximum(norm, 1e-6)

    def like(self, thumbs_NPP: np.ndarray) -> Fingerprints:
        """Those of other thumbnails [M, P, P], whitened by the mean and spread of these; without small changes."""
        basis = cosine_basis(thumbs_NPP.shape[1], _K)
        coefficients = basis @ thumbs_NPP.astype(np.float32) @ basis.T
        coefficients[:, 0, 0] = 0
        return Fingerprints(coefficients, self.mean, self.spread, np.empty((0, len(coefficients), _K, _K), np.float32))


def fingerprints(thumbs_NPP: np.ndarray) -> Fingerprints:
    """Fingerprints of thumbnails [N, P, P] of grey levels 0 to 255."""
    px = thumbs_NPP.shape[1]
    basis = cosine_basis(px, _K)
    matrices = [undone(change, px, _K).T for change in CHANGES]
    count = len(thumbs_NPP)
    coefficients = np.empty((count, _K, _K), dtype=np.float32)
    changed = np.empty((len(CHANGES), count, _K, _K), dtype=np.float32)
    for start in range(0, count, _COLUMNS):
        block = thumbs_NPP[start : start + _COLUMNS].astype(np.float32)
        part = slice(start, start + len(block))
        coefficients[part] = basis @ block @ basis.T
        for number, matrix in enumerate(matrices):
            changed[number, part] = (block.reshape(len(block), -1) @ matrix).reshape(-1, _K, _K)
    coefficients[:, 0, 0] = 0
    changed[:, :, 0, 0] = 0
    own = count / (count + _PRIOR_IMAGES)
    mean = own * coefficients.mean(axis=0)
    order = np.add.outer(np.arange(_K), np.arange(_K)) + 1.0
    energy = (coefficients**2).mean() + 1e-3
    prior = energy * order**-3.0 / (order**-3.0).mean()
    variance = own * ((coefficients - mean) ** 2).mean(axis=0) + (1 - own) * prior
    return Fingerprints(coefficients, mean, np.sqrt(variance + 1e-6).astype(np.float32), changed)


def likely_pairs(prints: Fingerprints, owners_N: np.ndarray | None = None) -> np.ndarray:
    """int64 [M, 3]: image i < image j and the orientation of j, or its small change (8 and more), in which they resemble each other most.

    At most the four nearest i per j; with `owners_N` only pairs of different owners. Memory does not depend on the number of
    pairs compared.
    """
    count = len(prints.coefficients)
    found = [np.empty((0, 3), dtype=np.int64)]
    for start in range(0, count, _COLUMNS):
        columns = slice(start, min(start + _COLUMNS, count))
        rows = [slice(row, min(row + _ROWS, columns.stop)) for row in range(0, columns.stop, _ROWS)]
        rows = [
            block
            for block in rows
            if owners_N is None or len(np.unique(np.concatenate([owners_N[block], owners_N[columns]]))) > 1
        ]
        if rows:
            turned = [prints.vectors(columns, orientation) for orientation in range(ORIENTATIONS + len(CHANGES))]
            found.append(_nearest([_above(prints, block, columns, turned, owners_N) for block in rows]))
    return np.concatenate(found)


def _above(
    prints: Fingerprints, rows: slice, columns: slice, turned: list[np.ndarray], owners_N: np.ndarray | None
) -> np.ndarray:
    """[M, 4]: i, j, orientation, cosine of the pairs i < j of one block that are alike enough."""
    upright = prints.vectors(rows)
    best = upright @ turned[0].T
    orientation = np.zeros(best.shape, dtype=np.int8)
    cosine = np.empty_like(best)
    for number, vectors in enumerate(turned[1:], start=1):
        np.matmul(upright, vectors.T, out=cosine)
        # few are alike enough to count: only these are compared with the best so far
        places = np.flatnonzero(cosine > (LIKELY if number < ORIENTATIONS else LIKELY_CHANGED))
        places = places[cosine.ravel()[places] > best.ravel()[places]]
        best.ravel()[places] = cosine.ravel()[places]
        orientation.ravel()[places] = number
    i, j = np.nonzero(best > LIKELY)
    alike, orientation = best[i, j], orientation[i, j]
    i, j = i + rows.start, j + columns.start
    wanted = i < j if owners_N is None else (i < j) & (owners_N[i] != owners_N[j])
    return np.stack([i, j, orientation, alike], axis=1)[wanted]


def _nearest(blocks: list[np.ndarray]) -> np.ndarray:
    """int64 [M, 3]: the pairs of the nearest few i of each j."""
    pairs = np.concatenate(blocks)
    pairs = pairs[np.lexsort((-pairs[:, 3], pairs[:, 1]))]
    _, first, sizes = np.unique(pairs[:, 1], return_index=True, return_counts=True)
    rank = np.arange(len(pairs)) - np.repeat(first, sizes)
    return pairs[rank < _NEAREST, :3].astype(np.int64)


def _oriented(coefficients_NKK: np.ndarray, orientation: int) -> np.ndarray:
    """The coefficients of the oriented image: a flip changes the sign of the odd ones."""
    sign = np.where(np.arange(_K) % 2, -1, 1).astype(np.float32)
    if orientation & 4:
        coefficients_NKK = np.swapaxes(coefficients_NKK, 1, 2)
    if orientation & 2:
        coefficients_NKK = coefficients_NKK * sign[:, None]
    if orientation & 1:
        coefficients_NKK = coefficients_NKK * sign
    return coefficients_NKK
