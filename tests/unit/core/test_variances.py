"""Empirical Bayes for variances against its definition and against the truth of simulations."""

import numpy as np
import pytest
from scipy.special import polygamma

from sweep.core.variances import trigamma_inverse, variance_prior


@pytest.mark.parametrize("x", [0.01, 0.3, 1.0, 7.0, 400.0])
def test_trigamma_inverse_inverts_trigamma(x):
    assert trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_equal_variances_are_worth_infinitely_many_degrees_of_freedom():
    own = 0.04 * np.random.default_rng(0).chisquare(6, size=5000) / 6
    variance, df = variance_prior(own, np.full(5000, 6))
    assert variance == pytest.approx(0.04, rel=0.05) and df > 100


def test_prior_of_simulated_variances_is_recovered():
    draw = np.random.default_rng(1)
    true = 0.04 * 8 / draw.chisquare(8, size=20_000)
    own = true * draw.chisquare(3, size=20_000) / 3
    variance, df = variance_prior(own, np.full(20_000, 3))
    assert variance == pytest.approx(0.04, rel=0.05) and df == pytest.approx(8, rel=0.1)


def test_groups_without_spread_say_nothing():
    assert variance_prior([0.0, 0.0, 0.1], [2, 2, 2]) == (0.0, 0.0)
