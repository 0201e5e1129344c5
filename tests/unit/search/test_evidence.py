"""E-values against numerical integration, and their promise: on average at most 1 where nobody is ahead, at any time."""

import numpy as np
import pytest
from scipy import integrate, stats

from sweep.search.evidence import EFFECT_VARIANCE, e_value, lower_bound
from sweep.search.paired_differences import Lead


def lead(values):
    values = np.asarray(values, dtype=float)
    return Lead(float(values.mean()), float(values.var(ddof=1) / len(values)), len(values) - 1, len(values))


@pytest.mark.parametrize("values", [[0.3, 0.5, 0.1, 0.4], [-0.2, 0.1, -0.4], [0.1, -0.1, 0.02, 0.05, -0.03]])
def test_the_closed_form_is_the_integral_over_effects(values):
    made = lead(values)
    t, root = made.estimate / made.error, np.sqrt(made.seeds)

    def weighted(delta):
        return 2 * stats.norm.pdf(delta, scale=np.sqrt(EFFECT_VARIANCE)) * stats.nct.pdf(t, made.freedom, delta * root)

    expected = integrate.quad(weighted, 0, 14, limit=200)[0] / stats.t.pdf(t, made.freedom)
    assert e_value(made) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mean", [0.0, -0.5])
def test_evidence_of_no_lead_crosses_twenty_in_at_most_one_of_twenty_sequences(mean):
    draw = np.random.default_rng(0)
    paths = draw.normal(mean, 1, size=(300, 25))
    crossed = [any(e_value(lead(path[:n])) >= 20 for n in range(2, 26)) for path in paths]
    assert np.mean(crossed) <= 0.05


def test_evidence_grows_with_the_seeds_of_a_true_lead():
    values = np.random.default_rng(1).normal(1.5, 1, size=30)
    assert e_value(lead(values[:5])) < e_value(lead(values[:15])) < e_value(lead(values))


def test_the_bound_is_where_the_evidence_is_as_asked():
    made = lead(np.random.default_rng(2).normal(1.5, 1, size=12))
    bound = lower_bound(made, 20)
    assert 0 < bound < made.estimate and e_value(made, beyond=bound) == pytest.approx(20, rel=1e-6)


def test_two_seeds_rule_nothing_out():
    assert lower_bound(lead([0.5, 0.7]), 1e9) == float("-inf")


def test_seeds_that_agree_exactly_are_proof_or_nothing():
    assert e_value(Lead(0.1, 0.0, 3, 4)) == float("inf") and e_value(Lead(0.0, 0.0, 3, 4)) == 0.0
    assert lower_bound(Lead(0.1, 0.0, 3, 4), 20) == 0.1
