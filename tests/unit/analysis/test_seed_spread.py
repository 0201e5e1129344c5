"""How the spread between seeds enters an interval: from which size on, and with how much less skewness."""

import numpy as np
import pytest
from scipy import stats

from analysis.intervals import Noise, Resampled, SeedPrior, interval


@pytest.mark.parametrize("between", [0.0, 0.2, 0.49])
def test_a_spread_that_images_explain_widens_nothing(between):
    noise = Noise(shared=1.0, by_images=1.0, between=between, seeds=4, df=3)
    assert not noise.seeds_matter and noise.seed_scale == 0 and noise.image_scale == 1


@pytest.mark.parametrize("between", [0.51, 1.0, 4.0])
def test_a_spread_above_half_of_what_images_explain_is_used_as_observed(between):
    noise = Noise(shared=1.0, by_images=1.0, between=between, seeds=4, df=3)
    assert noise.seeds_matter and noise.seed_scale == pytest.approx((between / 4) ** 0.5)
    assert noise.image_scale == pytest.approx((1.0 / 1.25) ** 0.5)


@pytest.mark.parametrize("seed_variance", [0.25, 1.0, 4.0])
def test_the_skewness_falls_with_the_power_three_halves_of_the_images_share(seed_variance):
    """The third moment of a sum is that of its skewed part, so skewness falls as the share of the variance to the power 3/2.

    Image noise of variance 1 and symmetric seed noise of `seed_variance` add up to a normal distribution of known width; the
    jackknife has a known acceleration. The end points of BCa then follow by hand (Efron 1987).
    """
    draws, seeds, blocks = 100_000, 4, 20
    image_noise = np.random.default_rng(0).permutation(stats.norm.ppf((np.arange(draws) + 0.5) / draws))
    left_out = np.ones(blocks)
    left_out[0] = 1 - blocks  # one patient block pulls far to one side
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    sample = Resampled(
        tuple(range(seeds)),
        np.zeros(seeds),
        np.repeat(image_noise[:, None], seeds, axis=1),
        np.repeat(left_out[:, None], seeds, axis=1),
        10**6,
        10**6,  # patients: so many that the interval is not expanded for their number
        prior=SeedPrior(seed_variance * seeds * (1e6 + seeds - 1) / 1e6, 1e6),
    )
    made = interval(sample)
    share, width = 1 / (1 + seed_variance), (1 + seed_variance) ** 0.5
    for end, level in ((made.low, 0.025), (made.high, 0.975)):
        z = stats.norm.ppf(level)
        assert end == pytest.approx(width * z / (1 - acceleration * share**1.5 * z), abs=0.03 * width)
