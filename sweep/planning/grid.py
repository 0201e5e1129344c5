"""sweep config -> grid cells -> configurations."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.config.hyperparameters import complete
from sweep.core.hyperparameter import Scalar
from sweep.search.sampling import drawn


@dataclass(frozen=True)
class CellConfigs:
    """The configurations of one grid cell; every cell is sampled equally often."""

    cell: dict[str, Scalar]
    configs: tuple[dict[str, Scalar], ...]


def studies(
    grid: Mapping[str, list[Scalar]], search: Mapping[str, Any], fixed: Mapping[str, Scalar], trials: int, seed: int = 0
) -> list[CellConfigs]:
    """Cross the grid; inside each cell draw `trials` configurations of the searched hyperparameters.

    A draw depends on (seed, name of the hyperparameter, number of the draw) alone: adding a hyperparameter or a cell
    changes no other draw, and every cell has the same draws.
    """
    return [CellConfigs(cell, tuple(_configs(search, {**fixed, **cell}, trials, seed))) for cell in cells(grid)]


def cells(grid: Mapping[str, list[Scalar]]) -> list[dict[str, Scalar]]:
    """Every combination of the grid's values, in order; one empty cell without a grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _configs(search: Mapping[str, Any], known: Mapping[str, Scalar], trials: int, seed: int) -> list[dict[str, Scalar]]:
    draws = trials if search else 1
    return [complete({**known, **drawn(search, known, number, seed)}) for number in range(draws)]


def epochs_of(config: Mapping[str, Any]) -> int:
    """Epochs of a training, summed over the phases of its procedure."""
    from sweep.training.procedures import phases
    from sweep.training.recipe import Recipe

    return sum(phase.epochs for phase in phases(Recipe.from_config(config)))
