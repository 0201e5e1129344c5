"""Draws of a distribution: bounds, grids and frequencies."""

import numpy as np
import pytest

from sweep.config.distribution import Distribution
from sweep.search.axes import make_axis
from sweep.search.sampling import draw, grid_steps


@pytest.mark.parametrize(
    ("low", "high", "q", "grid"),
    [
        (0, 1, 0.25, [0, 0.25, 0.5, 0.75, 1]),
        (0.1, 0.3, 0.1, [0.1, 0.2, 0.3]),  # (0.3 - 0.1) / 0.1 is 1.9999999999999998
        (0, 1, 0.3, [0, 0.3, 0.6, 0.9]),  # the upper end is not on the grid and is never drawn
        (-0.5, 0.55, 0.5, [-0.5, 0, 0.5]),
    ],
)
def test_quantised_uniform_draws_every_grid_point_equally_often_and_nothing_else(low, high, q, grid):
    distribution = Distribution(distribution="q_uniform", min=low, max=high, q=q)
    generator = np.random.default_rng(0)
    values, counts = np.unique([draw(distribution, generator) for _ in range(4000)], return_counts=True)
    assert values.tolist() == grid and grid_steps(distribution) == len(grid) - 1
    expected = 4000 / len(grid)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    axis = make_axis(distribution)
    assert [axis.decode(step) for step in range(axis.coordinate.low, axis.coordinate.high + 1)] == grid
    assert [axis.encode(value) for value in grid] == list(range(len(grid)))
