"""Fronts against their definition, hypervolume against optuna and against hand-made boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pareto import dominated_by_any, front_numbers, front_probability, hypervolume

points = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=14).map(lambda rows: np.array(rows, dtype=float))


@settings(max_examples=80, deadline=None)
@given(points)
def test_dominated_is_the_definition(rows):
    expected = [any((other >= row).all() and (other > row).any() for other in rows) for row in rows]
    assert dominated_by_any(rows).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(points)
def test_fronts_peel_off_one_after_another(rows):
    numbers = front_numbers(rows)
    for level in range(1, numbers.max() + 1):
        left = numbers >= level
        assert (numbers[left] == level).tolist() == (~dominated_by_any(rows[left])).tolist()


def test_a_row_with_a_gap_is_behind_all():
    rows = np.array([[1.0, 1.0], [0.0, 0.0], [np.nan, 9.0]])
    assert front_numbers(rows).tolist() == [1, 2, 3]
    assert dominated_by_any(rows).tolist() == [False, True, True]


def test_front_probability_counts_draws():
    draws = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]])
    assert front_probability(draws).tolist() == [1.0, 0.5]


@pytest.mark.parametrize(("rows", "volume"), [
    ([[2, 3]], 6), ([[2, 1], [1, 2]], 3), ([[1, 1, 1], [2, 2, 2]], 8), ([[2, 1, 1], [1, 2, 1], [1, 1, 2]], 4), ([[-1, 5]], 0), ([[2, 1], [2, 1]], 2)])
def test_hypervolume_by_hand(rows, volume):
    assert hypervolume(np.array(rows, dtype=float), np.zeros(len(rows[0]))) == pytest.approx(volume)


@settings(max_examples=40, deadline=None)
@given(points)
def test_hypervolume_agrees_with_optuna(rows):
    wfg = pytest.importorskip("optuna._hypervolume.wfg")
    reference = np.zeros(3)
    inside = -rows[(rows > 0).all(axis=1)]  # optuna minimizes
    theirs = wfg.compute_hypervolume(inside, reference) if len(inside) else 0.0
    assert hypervolume(rows, reference) == pytest.approx(theirs)
