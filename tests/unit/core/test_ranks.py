"""Ranks are SciPy's."""

import numpy as np
import pytest
from scipy.stats import rankdata

from sweep.core.ranks import ranks


@pytest.mark.parametrize(
    "values", [[], [3.0], [2, 1, 2, 2, 0], [True, False, True], [-1.5, np.inf, 0, -np.inf, np.inf]]
)
def test_equal_values_share_their_mean_rank(values):
    assert ranks(np.array(values)).tolist() == rankdata(values).tolist()
