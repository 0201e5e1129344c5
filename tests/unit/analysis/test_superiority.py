"""The probability of false superiority is calibrated: of winners with a stated chance p, a share p is truly no better."""

import numpy as np
import pytest
from scipy import stats

from analysis.intervals import Resampled
from analysis.superiority import chance_text, error_variance, false_superiority, probability_over, spread_posterior

ERROR = 0.03  # standard deviation of one observed mean


def difference(value, error=ERROR, draws=4000):
    noise = stats.norm.ppf((np.arange(draws) + 0.5) / draws) * error * np.sqrt(2)
    return Resampled((0,), np.array([value]), value + noise[:, None], np.full((5, 1), value), 50, 50)


@pytest.mark.parametrize("spread", [0.02, 0.08])
def test_stated_and_true_shares_of_false_winners_agree(spread):
    draw = np.random.default_rng(0)
    stated, false = [], []
    for _ in range(250):
        truth = 0.7 + spread * draw.normal(size=10)
        seen = truth + ERROR * draw.normal(size=10)
        first, second = np.argsort(-seen)[:2]
        stated.append(false_superiority(difference(seen[first] - seen[second], draws=200), seen))
        false.append(truth[first] <= truth[second])
    assert np.mean(stated) == pytest.approx(np.mean(false), abs=0.08)


def test_a_winner_of_equals_is_hardly_better_than_a_coin():
    seen = 0.7 + ERROR * np.random.default_rng(1).normal(size=60)
    first, second = np.sort(seen)[::-1][:2]
    assert 0.35 < false_superiority(difference(first - second), seen) <= 0.5


def test_a_wide_spread_of_recipes_leaves_the_difference_as_it_is():
    seen = np.linspace(0.3, 0.9, 30)
    flat = stats.norm.sf(0.06 / (ERROR * np.sqrt(2)))
    assert false_superiority(difference(0.06), seen) == pytest.approx(flat, abs=0.02)


def test_posterior_of_the_spread_finds_it():
    seen = np.random.default_rng(2).normal(0.7, np.hypot(0.08, ERROR), size=400)
    taus, weights = spread_posterior(seen, ERROR**2)
    assert weights.sum() == pytest.approx(1) and taus @ weights == pytest.approx(0.08, rel=0.1)


def test_error_variance_is_that_of_the_draws_with_one_seed():
    assert error_variance(difference(0.1)) == (pytest.approx(2 * ERROR**2, rel=0.01), float("inf"))


def test_no_noise_leaves_no_doubt():
    exact = Resampled((0,), np.array([0.1]), np.full((200, 1), 0.1), np.full((5, 1), 0.1), 9, 9)
    assert false_superiority(exact, [0.5, 0.6]) == 0.0


def test_the_two_directions_of_a_run_add_up_to_one(run, estimates):
    a, b = run.means.index[:2]
    there, back = (probability_over(run, estimates, *pair, "auroc/target") for pair in ((a, b), (b, a)))
    assert there + back == pytest.approx(1, abs=1e-6)


def test_chances_as_words():
    assert [chance_text(value) for value in (0.0, 0.0123, 0.256)] == ["below 0.1 %", "1.2 %", "26 %"]
