"""Six texture properties of co-occurrence matrices, equal to scikit-image's graycoprops."""

# M matrices, L grey levels, S sums. P are shares: a matrix divided by its total.

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from sweep.core.errors import InputError, described, suggestion

PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation")
# Order of the nine sums over pairs (i, j) from which all six follow: of squared counts, then of 1, (i-j)^2, |i-j|,
# 1/(1+(i-j)^2), i, j, i^2, j^2.
SUMS = ("squares", "pairs", "contrast", "dissimilarity", "homogeneity", "i", "j", "ii", "jj")
# Statistics of a matrix of shares from which the properties and their gradients follow.
MOMENTS = ("asm", "contrast", "dissimilarity", "homogeneity", "covariance", "var_i", "var_j")
CHUNK_CELLS = 1 << 19  # float64 cells treated at once, so that they stay in the cache
FLAT = 1e-13  # share of the second moment below which a variance is rounding error


def glcm_properties(matrix: Tensor, names: Sequence[str] = PROPERTIES) -> dict[str, Tensor]:
    """Properties of [N, L, L, D, A] counts or shares: name -> float64 [N, D, A].

    Raises InputError for another shape. An empty matrix gives zeros, and correlation is one wherever a variance is zero, as in scikit-image.
    """
    names = checked(names)
    if not isinstance(matrix, Tensor) or matrix.ndim != 5 or matrix.shape[1] != matrix.shape[2] or matrix.is_complex():
        raise InputError("matrix", described(matrix), "give the matrices [N, L, L, D, A] that glcm or soft_glcm return")
    levels, outer = matrix.shape[1], (matrix.shape[0], *matrix.shape[3:])
    matrix_MLL = matrix.permute(0, 3, 4, 1, 2).reshape(-1, levels, levels)
    step = max(1, CHUNK_CELLS // levels**2)
    parts = [of_matrices(part, names) for part in matrix_MLL.split(step)]
    return {name: torch.cat([part[name] for part in parts]).view(outer) for name in names}


def moments(matrix_MLL: Tensor, total_M: Tensor) -> Tensor:
    """Differentiable statistics [M, 7] in the order of MOMENTS, of matrices divided by their constant totals."""
    levels = matrix_MLL.shape[-1]
    flat_MC, total_M1 = matrix_MLL.flatten(1), total_M[:, None]
    asm_M = (torch.linalg.vector_norm(flat_MC, dim=1) / total_M).square()
    linear_M3 = flat_MC @ _by_difference(levels, matrix_MLL.dtype, matrix_MLL.device).T / total_M1
    mean_i, var_i = _mean_and_variance(matrix_MLL.sum(2) / total_M1)
    mean_j, var_j = _mean_and_variance(matrix_MLL.sum(1) / total_M1)
    # E(i-j)^2 = var i + var j - 2 cov + (mean i - mean j)^2, so the covariance needs no further pass.
    covariance = (var_i + var_j + (mean_i - mean_j).square() - linear_M3[:, 0]) / 2
    return torch.stack([asm_M, *linear_M3.unbind(1), covariance, var_i, var_j], dim=1)


def from_sums(sums: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Properties from the nine sums of SUMS along the last axis of a float64 tensor: name -> [...]."""
    total = {name: sums[..., k] for k, name in enumerate(SUMS)}
    pairs = total["pairs"].clamp_min(1)
    linear = {name: total[name] / pairs for name in ("contrast", "dissimilarity", "homogeneity")}
    # Differences of whole numbers, exact below 2^53, so the variance of a constant image is exactly zero.
    var_i, var_j = (pairs * total[s + s] - total[s].square() for s in "ij")
    product = (total["ii"] + total["jj"] - total["contrast"]) / 2
    covariance = pairs * product - total["i"] * total["j"]
    asm = total["squares"] / pairs.square()
    correlation = torch.where((var_i > 0) & (var_j > 0), covariance / (var_i.sqrt() * var_j.sqrt()), 1.0)
    found = {**linear, "ASM": asm, "energy": asm.sqrt(), "correlation": correlation}
    return {name: found[name] for name in names}


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """`names` as a tuple; InputError for one that is no property."""
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        raise InputError("names", f"unknown property {unknown[0]!r}", suggestion(str(unknown[0]), PROPERTIES))
    return tuple(names)


def of_matrices(matrix_MLL: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Properties of matrices [M, L, L], counts or shares: name -> float64 [M]."""
    matrix_MLL = matrix_MLL.double()
    total = matrix_MLL.sum((-1, -2))
    total = torch.where(total == 0, 1.0, total)  # an empty matrix stays empty
    found = dict(zip(MOMENTS, moments(matrix_MLL, total).unbind(1), strict=False))
    # Replaced before the root and the division: their slopes at zero are infinite, also where the result is not used.
    flat = (found["var_i"] <= 0) | (found["var_j"] <= 0)
    spread = found["var_i"].masked_fill(flat, 1).sqrt() * found["var_j"].masked_fill(flat, 1).sqrt()
    correlation = (found["covariance"] / spread).masked_fill(flat, 1)
    empty = found["asm"] <= 0
    energy = found["asm"].masked_fill(empty, 1).sqrt().masked_fill(empty, 0)
    found |= {"ASM": found["asm"], "energy": energy, "correlation": correlation}
    return {name: found[name] for name in names}


def _mean_and_variance(marginal_ML: Tensor) -> tuple[Tensor, Tensor]:
    # Centred before squaring: in float32 the difference of raw moments would lose small variances.
    level_L = torch.arange(marginal_ML.shape[1], dtype=marginal_ML.dtype, device=marginal_ML.device)
    mean_M = marginal_ML @ level_L
    variance_M = (marginal_ML * (level_L - mean_M[:, None]).square()).sum(1)
    noise_M = FLAT * (marginal_ML.detach() @ level_L.square())
    # Rounding error is set to zero in value but keeps its slope: the covariance is a difference of terms whose slopes cancel.
    return mean_M, torch.where(variance_M > noise_M, variance_M, variance_M - variance_M.detach())


@cache
def _by_difference(levels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[3, L*L]: (i-j)^2, |i-j| and 1/(1+(i-j)^2); in this layout one product for all three is four times faster."""
    level = torch.arange(levels, dtype=torch.float64, device=device)
    gap = (level[:, None] - level).abs().flatten()
    return torch.stack([gap.square(), gap, 1 / (1 + gap.square())]).to(dtype)
