"""Metrics drawn together keep their margins and share their seeds."""

import numpy as np
import pytest

from analysis.intervals import Resampled, SeedPrior, interval
from analysis.joint_noise import front_probability, joint_draws, seed_correlation
from sweep.core.pareto import dominated_by_any


def pair(draw, seeds=4, shared=0.05):
    """AUROC on the target and the gap source - target: the target's part has opposite signs."""
    target, source = draw.normal(0.7, shared, seeds), draw.normal(0.9, 0.01, seeds)
    made = []
    for point in (target, source - target):
        patients = point + draw.normal(0, 0.005, (2000, 1))
        made.append(
            Resampled(tuple(range(seeds)), point, patients, np.tile(point, (9, 1)), 90, 90, SeedPrior(shared**2, 4.0))
        )
    return made


def test_the_gap_falls_where_the_target_rises():
    draw = np.random.default_rng(0)
    recipes = [pair(draw) for _ in range(30)]
    correlation = seed_correlation(recipes)
    assert correlation[0, 1] < -0.9 and correlation[0, 0] == 1
    drawn = joint_draws(recipes[0], correlation, np.random.default_rng(1))
    assert np.corrcoef(drawn.T)[0, 1] < -0.9


def test_each_margin_is_that_of_the_interval():
    samples = pair(np.random.default_rng(2), seeds=3)
    drawn = joint_draws(samples, np.eye(2), np.random.default_rng(3))
    for sample, column in zip(samples, drawn.T, strict=True):
        made = interval(sample)
        low, high = np.quantile(column, [0.025, 0.975])
        assert high - low == pytest.approx(made.high - made.low, rel=0.15)


def test_one_seed_leaves_metrics_uncorrelated():
    assert seed_correlation([pair(np.random.default_rng(4), seeds=1)]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(("configurations", "objectives"), [(12, 2), (40, 3), (7, 1)])
def test_front_probability_is_the_share_of_draws_that_nothing_dominates(configurations, objectives):
    draw = np.random.default_rng(5)
    draws = draw.integers(0, 4, (50, configurations, objectives)).astype(float)  # many ties
    draws[draw.random(draws.shape) < 0.05] = np.nan
    one_by_one = np.mean([~dominated_by_any(points) for points in draws], axis=0)
    np.testing.assert_allclose(front_probability(draws), one_by_one)
