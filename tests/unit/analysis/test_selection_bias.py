"""The selection repeated: no bias where all candidates are equal, no correction where one always wins."""

import numpy as np
import pytest

from analysis.intervals import Resampled, SeedPrior
from analysis.selection_bias import Repeated, corrected_interval, leave_seed_out, mixture, repeat_selection


def null_sweep(draw, candidates=50, seeds=3, images=80, draws=100):
    """Scores of equal candidates whose images and seeds vary: samples, the draws [B, S, K] and the scores on the images left out."""
    weights = draw.multinomial(images, np.full(images, 1 / images), draws).astype(float)
    outside = (weights == 0).astype(float)
    shared = draw.normal(0, 0.4, images)
    values = (
        0.7 + draw.normal(0, 0.05, (candidates, seeds, 1)) + shared + draw.normal(0, 0.3, (candidates, seeds, images))
    )
    inside = (values @ weights.T / images).transpose(2, 1, 0)
    left_out = (values @ outside.T / outside.sum(axis=1)).transpose(2, 1, 0)
    return values.mean(axis=2), inside, left_out


def test_the_winner_of_equals_is_too_good_and_the_correction_takes_it_back():
    draw = np.random.default_rng(0)
    raw, fair = [], []
    for _ in range(60):
        points, inside, left_out = null_sweep(draw)
        raw.append(points.mean(axis=1).max() - 0.7)
        fair.append(repeat_selection(leave_seed_out(inside), left_out).score - 0.7)
    error = np.std(fair) / np.sqrt(len(fair))
    assert np.mean(raw) > 0.06 and abs(np.mean(fair)) < 3 * error < 0.025


def test_without_each_seed_is_the_mean_of_the_others():
    values = np.random.default_rng(1).normal(size=(4, 3, 2))
    np.testing.assert_allclose(leave_seed_out(values)[:, 1], values[:, [0, 2]].mean(axis=1))
    values[:, 2, 0] = np.nan
    np.testing.assert_allclose(leave_seed_out(values)[:, 1, 0], values[:, 0, 0])
    np.testing.assert_allclose(leave_seed_out(values)[:, 2, 0], values[:, :2, 0].mean(axis=1))


def test_one_seed_is_chosen_on_itself_and_says_so():
    values = np.random.default_rng(2).normal(size=(10, 1, 3))
    made = repeat_selection(leave_seed_out(values), values)
    assert not made.seeds_left_out and made.score == pytest.approx(values.max(axis=2).mean())


def test_a_clear_winner_keeps_its_score_and_its_interval():
    draw = np.random.default_rng(3)
    points = np.array([[0.9, 0.91, 0.92], [0.5, 0.51, 0.52]])
    samples = [
        Resampled(
            (0, 1, 2),
            point,
            point + draw.normal(0, 0.01, (400, 1)),
            np.tile(point, (20, 1)),
            20,
            20,
            SeedPrior(1e-4, 4.0),
        )
        for point in points
    ]
    inside = np.stack([sample.draws for sample in samples], axis=2)
    made = repeat_selection(leave_seed_out(inside), np.broadcast_to(points.T, inside.shape))
    assert made.score == pytest.approx(0.91) and made.shares.tolist() == [1.0, 0.0]
    interval = corrected_interval(made, samples, limits=(0.0, 1.0))
    assert interval.low < 0.91 < interval.high and interval.estimate == pytest.approx(0.91)


def few_cases(point, draws, cases):
    return Resampled((0, 1, 2), point, draws, np.tile(point, (20, 1)), 40, 14, SeedPrior(1e-4, 4.0), cases)


@pytest.mark.parametrize(("cases", "low"), [(2, 0.09), (5, 0.73), (50, 0.77)])
def test_an_interval_on_few_patients_of_a_class_reaches_further_towards_one_half(cases, low):
    points = np.tile(np.array([0.85, 0.85, 0.85]), (2, 1))
    samples = [few_cases(point, point + np.random.default_rng(4).normal(0, 0.03, (400, 1)), cases) for point in points]
    made = corrected_interval(Repeated(0.85, np.array([0.5, 0.5]), True), samples, limits=(0.0, 1.0))
    assert made.low == pytest.approx(low, abs=0.03) and 0.85 - made.low > made.high - 0.85


def test_a_perfect_winner_has_the_interval_of_its_smaller_class():
    point = np.ones(3)
    samples = [few_cases(point, np.ones((400, 3)), 5)] * 2
    made = corrected_interval(Repeated(1.0, np.array([0.5, 0.5]), True), samples, limits=(0.0, 1.0))
    assert (made.low, made.high) == (pytest.approx(0.478, abs=0.001), 1.0)


def test_candidates_without_a_score_are_never_chosen():
    values = np.full((5, 2, 3), np.nan)
    assert np.isnan(repeat_selection(leave_seed_out(values), values).score)
    values[:, :, 1] = 0.4
    assert repeat_selection(leave_seed_out(values), values).shares.tolist() == [0.0, 1.0, 0.0]


def test_a_mixture_averages_the_seed_noise_of_its_parts():
    point = np.array([0.5, 0.7])
    one = Resampled((0, 1), point, np.tile(point, (200, 1)), np.tile(point, (5, 1)), 10, 5, SeedPrior(0.04, 4.0))
    mixed = mixture([one, one], np.array([0.5, 0.5]))
    np.testing.assert_allclose(mixed.point, point)
    assert mixed.prior == SeedPrior(0.02, 4.0)
