"""The correlation of an image with crops of another: a first look at half the size, then the crops near the best one of it.

Fine structures float32 [P, P] of mean 0 and norm 1, see `near_duplicates`. A crop enlarged to the whole size is R X C^T for one
resampling matrix per side, so with a whole image W the correlation's numerator is <W, R X C^T> = <W C, R X>: all pairs of rows R and
columns C follow from one product of what each image gives alone. The enlarged crop's energy is <X^T R^T R X, C^T C>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

_SIZES = (64, 62, 60, 58, 56)  # crop heights and widths, of 64 thumbnail pixels; places one pixel apart
_FIRST_SIZES = (32, 30, 28)  # of the first look, in pixels of half the size
_NEAR_SIZE, _NEAR_PLACE = (
    3,
    1.5,
)  # pixels of 64 by which crops near one of the first look may differ, in side and middle
_HALF = 2
Crop = tuple[int, int]  # size and first pixel along one side


@dataclass(frozen=True)
class Bank:
    """The resampling matrices R of the crops of one side: below each other float32 [C * P, P] and beside each other [P, C * P], R^T R
    likewise, beside each other [P, C * P] and each in a row [C, P * P], and the column sums of R [C, P]."""

    crops: tuple[Crop, ...]
    below: np.ndarray
    beside: np.ndarray
    squares_beside: np.ndarray
    squares: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class Look:
    """What the first look needs of one image: W C and R X of all crops [C, p * p], and the deviation of each crop [C, C]."""

    whole: np.ndarray
    cropped: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class Seen:
    """Of B pairs the largest correlation of a first look, float [B], and the positions of its crop among those of the two sides, int64 [B]."""

    correlation: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def first_looks(images: np.ndarray) -> list[Look]:
    """Images [B, P, P] at half their size, with all crops of the first look."""
    px = images.shape[-1] // _HALF
    mean = _halved(px)
    half = mean @ images @ mean.T
    half -= half.mean(axis=(1, 2), keepdims=True)
    half /= np.maximum(np.linalg.norm(half, axis=(1, 2), keepdims=True), 1e-6)
    bank = _bank(_FIRST_SIZES, px)
    count = len(bank.crops)
    cropped = (bank.below @ half).reshape(len(half), count, -1)
    facts = _by_crop(half @ bank.beside, count), cropped, _deviation(half, bank, bank)
    return [Look(*one) for one in zip(*facts, strict=True)]


def seen(whole: Sequence[Look], cropped: Sequence[Look]) -> Seen:
    """The best correlations, in [-1, 1], of the ones of B images with crops of the others."""
    products = [other.cropped @ one.whole.T for one, other in zip(whole, cropped, strict=True)]
    correlations = np.stack(products) / np.stack([other.deviation for other in cropped])
    flat = correlations.reshape(len(correlations), -1)
    best = flat.argmax(axis=1)
    rows, columns = np.divmod(best, correlations.shape[2])
    return Seen(flat[np.arange(len(flat)), best], rows, columns)


def best_crop(whole: np.ndarray, cropped: np.ndarray, rows: int, columns: int) -> float:
    """The best correlation of `whole` [P, P] with crops of `cropped` near the one at these positions of the first look."""
    return _best(whole, cropped, _near(rows, len(whole)), _near(columns, len(whole)))


def crop_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """The best correlation of the one image with any crop of the other; slow."""
    return max(float((first * second).sum()), any_crop(first, second), any_crop(second, first))


def any_crop(whole: np.ndarray, cropped: np.ndarray) -> float:
    """The best correlation of `whole` [P, P] with all crops of `cropped`; slow."""
    bank = _bank(_SIZES, len(whole))
    return _best(whole, cropped, bank, bank)


def _best(whole: np.ndarray, cropped: np.ndarray, rows: Bank, columns: Bank) -> float:
    across = _by_crop(whole @ columns.beside, len(columns.crops))
    products = (rows.below @ cropped).reshape(len(rows.crops), -1) @ across.T
    return float((products / _deviation(cropped, rows, columns)).max())


def _by_crop(beside: np.ndarray, count: int) -> np.ndarray:
    """[..., C, P * P] of C matrices that lie beside each other, [..., P, C * P]."""
    *leading, px, _ = beside.shape
    return beside.reshape(*leading, px, count, px).swapaxes(-3, -2).reshape(*leading, count, -1)


def _deviation(image: np.ndarray, rows: Bank, columns: Bank) -> np.ndarray:
    """float [..., R, C]: the norm of each enlarged crop of an image [..., P, P] without its mean."""
    *leading, px, _ = image.shape
    count = len(rows.crops)
    squares = (
        _by_crop(image.swapaxes(-1, -2) @ rows.squares_beside, count).reshape(*leading, -1, px) @ image
    )  # X^T R^T R X
    energy = squares.reshape(*leading, count, -1) @ columns.squares.T
    total = rows.sums @ image @ columns.sums.T
    return np.sqrt(np.maximum(energy - total**2 / px**2, 1e-6))


@cache
def _halved(px: int) -> np.ndarray:
    """float32 [px, 2 px]: the means of neighbouring pixels as a matrix, several times as fast as a mean over two axes of so few."""
    return np.repeat(np.eye(px, dtype=np.float32), _HALF, axis=1) / _HALF


@cache
def _bank(sizes: tuple[int, ...], px: int) -> Bank:
    return _bank_of(tuple((size, first) for size in sizes for first in range(px - size + 1)), px)


def _bank_of(crops: tuple[Crop, ...], px: int) -> Bank:
    places = np.arange(px)
    matrices = np.empty((len(crops), px, px), dtype=np.float32)
    for number, (size, first) in enumerate(crops):
        position = np.clip((places + 0.5) * size / px - 0.5 + first, 0, px - 1)
        matrices[number] = np.maximum(0, 1 - np.abs(position[:, None] - places))
    squares = np.swapaxes(matrices, 1, 2) @ matrices
    beside, squares_beside = (stack.swapaxes(0, 1).reshape(px, -1) for stack in (matrices, squares))
    flat = squares.reshape(len(crops), -1)
    return Bank(crops, matrices.reshape(-1, px), beside, squares_beside, flat, matrices.sum(axis=1))


@cache
def _near(look: int, px: int) -> Bank:
    """The crops of full size near one of the first look."""
    size, first = (_HALF * number for number in _bank(_FIRST_SIZES, px // _HALF).crops[look])
    middle = first + size / 2
    near = (
        (side, start)
        for side, start in _bank(_SIZES, px).crops
        if abs(side - size) <= _NEAR_SIZE and abs(start + side / 2 - middle) <= _NEAR_PLACE
    )
    return _bank_of(tuple(near), px)
