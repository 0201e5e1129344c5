"""True scores behind noisy ones: metrics share their seeds, noise is not added twice, stated front probabilities are kept."""

import numpy as np
import pytest

from analysis.intervals import Resampled, SeedPrior, noise_of
from analysis.joint_noise import front_probability, noise_covariances, seed_correlation, true_scores
from benchmarks import simulated_sweeps
from sweep.core.pareto import dominated_by_any

PATIENTS = np.random.default_rng(99).normal(0, 0.005, (2000, 1))


def pair(draw, seeds=4, shared=0.05, images="same"):
    """AUROC on the target and the gap source - target: the target's part has opposite signs."""
    target, source = draw.normal(0.7, shared, seeds), draw.normal(0.9, 0.01, seeds)
    own = draw.normal(0, 0.003, (2000, 1))
    made = []
    for sign, point in ((1, target), (-1, source - target)):
        draws = point + sign * (PATIENTS + own)
        prior = SeedPrior(shared**2, 4.0)
        made.append(Resampled(tuple(range(seeds)), point, draws, np.tile(point, (9, 1)), 90, 90, prior, None, images))
    return made


def test_the_gap_falls_where_the_target_rises():
    recipes = [pair(np.random.default_rng(number)) for number in range(30)]
    correlation = seed_correlation(recipes)
    assert correlation[0, 1] < -0.9 and correlation[0, 0] == 1
    noise = noise_covariances(recipes, correlation)[0]
    assert noise[0, 1] / np.sqrt(noise[0, 0] * noise[1, 1]) < -0.9


def test_noise_is_that_of_the_intervals_less_what_all_recipes_share():
    recipes = [pair(np.random.default_rng(number), seeds=3) for number in range(30)]
    noise = noise_covariances(recipes, np.eye(2))
    for number in range(2):
        seeds = noise_of(recipes[4][number]).seed_scale ** 2
        assert noise[4, number, number] == pytest.approx(seeds + 0.003**2, rel=0.1, abs=2e-6)
    alone = noise_covariances([recipes[4], pair(np.random.default_rng(1), images="others")], np.eye(2))
    assert alone[0, 0, 0] > noise[4, 0, 0], "recipes on other images share no patients"


def test_one_seed_leaves_metrics_uncorrelated():
    assert seed_correlation([pair(np.random.default_rng(4), seeds=1)]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_true_scores_are_nearer_to_each_other_than_observed_ones_where_noise_is_large():
    draw = np.random.default_rng(6)
    true = draw.normal(0, 0.02, (30, 2))
    observed = true + draw.normal(0, 0.05, (30, 2))
    drawn = true_scores(observed, np.tile(0.05**2 * np.eye(2), (30, 1, 1)), draw, 300)
    assert drawn.std(axis=1).mean() < 0.6 * observed.std(axis=0).mean()
    assert ((drawn.mean(axis=0) - true) ** 2).mean() < 0.5 * ((observed - true) ** 2).mean()


def test_scores_without_noise_are_taken_as_they_are():
    draw = np.random.default_rng(7)
    observed = np.column_stack([draw.normal(0.7, 0.1, 8), draw.normal(0.1, 0.1, 8), np.full(8, 0.5)])
    drawn = true_scores(observed, np.zeros((8, 3, 3)), draw, 50)
    np.testing.assert_allclose(drawn, np.broadcast_to(observed, drawn.shape), atol=1e-3)
    assert set(front_probability(drawn)) <= {0.0, 1.0}


def test_the_same_generator_gives_the_same_draws():
    observed, noise = np.arange(6.0).reshape(3, 2), np.tile(np.eye(2), (3, 1, 1))
    first, second = (true_scores(observed, noise, np.random.default_rng(8), 20) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images"), [(2, 40), (3, 100), (10, 250)])
def test_stated_front_probabilities_are_those_of_the_truth(seeds, images):
    found = [simulated_sweeps.front(seeds, images, number) for number in range(60)]
    means = {name: np.mean([one[name] for one in found]) for name in found[0]}
    error = np.std([one["front true"] for one in found]) / np.sqrt(len(found))
    assert means["front stated, together"] == pytest.approx(means["front true"], abs=3 * error)
    assert means["front stated, resampled"] < means["front true"] - 3 * error
    assert means["front Brier, together"] < means["front Brier, resampled"]


@pytest.mark.parametrize(("configurations", "objectives"), [(12, 2), (40, 3), (7, 1)])
def test_front_probability_is_the_share_of_draws_that_nothing_dominates(configurations, objectives):
    draw = np.random.default_rng(5)
    draws = draw.integers(0, 4, (50, configurations, objectives)).astype(float)  # many ties
    draws[draw.random(draws.shape) < 0.05] = np.nan
    one_by_one = np.mean([~dominated_by_any(points) for points in draws], axis=0)
    np.testing.assert_allclose(front_probability(draws), one_by_one)
