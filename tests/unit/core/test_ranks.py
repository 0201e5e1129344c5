"""Ranks are SciPy's."""

import numpy as np
import pytest
from scipy.stats import rankdata

from sweep.core.errors import InputError
from sweep.core.ranks import auroc, ranks


@pytest.mark.parametrize(
    "values", [[], [3.0], [2, 1, 2, 2, 0], [True, False, True], [-1.5, np.inf, 0, -np.inf, np.inf]]
)
def test_equal_values_share_their_mean_rank(values):
    assert ranks(np.array(values)).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize(
    ("scores", "positive", "words"),
    [([0.1, np.nan], [False, True], "NaN at 1 of 2"), ([0.1, 0.2], [True], "one score for each label")],
)
def test_scores_without_an_order_are_refused(scores, positive, words):
    with pytest.raises(InputError, match=words):
        auroc(np.array(scores), np.array(positive))
