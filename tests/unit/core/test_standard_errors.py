"""Approximate standard errors against simulation and known values."""

import math

import numpy as np
import pytest

from sweep.core.standard_errors import Z95, auroc_error, half_width, share_error


def test_of_an_auroc_as_in_a_simulation():
    rng, found = np.random.default_rng(0), []
    for _ in range(1500):  # binormal scores, AUROC 0.76
        sick, well = rng.normal(1, 1, 30), rng.normal(0, 1, 50)
        found.append((sick[:, None] > well[None]).mean())
    assert auroc_error(float(np.mean(found)), 30, 50) == pytest.approx(np.std(found), rel=0.12)
    assert math.isnan(auroc_error(0.8, 0, 5)) and auroc_error(1.0, 3, 3) == 0


def test_of_a_share():
    assert share_error(0.2, 100) == pytest.approx(0.04) and math.isnan(share_error(0.5, 0))


def test_intervals_hold_the_spread_between_seeds_and_that_of_the_images():
    assert half_width([0.7], math.nan) is None
    assert half_width([0.7], 0.05) == pytest.approx(Z95 * 0.05)
    assert half_width([0.6, 0.8], 0.05) == pytest.approx(Z95 * math.sqrt(0.05**2 + 0.02 / 2))
    assert half_width([0.6, 0.8], math.nan) == pytest.approx(Z95 * 0.1)
