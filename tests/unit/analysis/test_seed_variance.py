"""The seed variance of a difference, pooled over all recipes of a sweep."""

import numpy as np
import pandas as pd
import pytest

from analysis.intervals import Resampled, noise_of, paired
from analysis.seed_variance import difference_prior, residual_variances


def scores(table):
    rows = pd.DataFrame(table, index=pd.Index([f"r{k}" for k in range(len(table))], name="signature"))
    return rows.rename_axis("seed", axis=1).stack()


def sweep(draw, recipes, seeds, spread, common=0.0):
    return (
        draw.normal(0, spread, size=(recipes, seeds))
        + draw.normal(0, common, size=seeds)
        + draw.normal(size=(recipes, 1))
    )


def test_residual_variances_of_a_complete_table_are_the_two_way_residuals():
    table = sweep(np.random.default_rng(0), 5, 4, 1.0, common=3.0)
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    variances, df = residual_variances(table)
    assert df.sum() == pytest.approx(4 * 3)
    np.testing.assert_allclose(variances * df, (residual**2).sum(axis=1), atol=1e-9)


def test_what_moves_all_recipes_of_a_seed_is_no_part_of_a_difference():
    draw = np.random.default_rng(1)
    prior = difference_prior(scores(sweep(draw, 60, 5, 0.02, common=0.3)))
    assert prior.variance == pytest.approx(2 * 0.02**2, rel=0.25)


def test_seeds_that_did_not_run_are_left_out():
    table = sweep(np.random.default_rng(2), 200, 6, 0.05)
    table[50:, 3:] = np.nan
    variances, df = residual_variances(table)
    assert df.sum() == pytest.approx(50 * 5 + 150 * 2 - 5)
    assert np.average(variances, weights=df) == pytest.approx(0.05**2, rel=0.15)


def test_a_difference_never_counts_for_more_than_the_residuals_of_the_table():
    draw = np.random.default_rng(3)
    for _ in range(20):
        table = sweep(draw, 4, 3, 0.05)
        prior = difference_prior(scores(table))
        if prior is None:
            continue
        made = [
            Resampled((0, 1, 2), row, np.tile(row, (200, 1)), np.tile(row, (5, 1)), 10, 5, prior) for row in table[:2]
        ]
        difference = paired(*made)
        assert noise_of(Resampled(**{**vars(difference), "prior": prior})).df <= 3 * 2 + 1e-9


def test_two_recipes_have_no_others_to_learn_from():
    assert difference_prior(scores(sweep(np.random.default_rng(4), 2, 5, 0.05))) is None
    assert difference_prior(scores(sweep(np.random.default_rng(4), 8, 1, 0.05))) is None


def test_the_run_uses_it_for_its_paired_differences(estimates, run):
    a, b = run.means.index[:2]
    assert estimates.paired(a, b, "auroc/target").prior == difference_prior(run.records["auroc/target"])
