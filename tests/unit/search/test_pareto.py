"""Crowding and preference against their definitions and against Optuna's private ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core.pareto import nondominated_rank
from sweep.search.pareto import crowding_distance, oriented, preference


def grids(objectives, most=12):
    row = st.tuples(*[st.integers(-1, 4)] * objectives)
    return st.lists(row, min_size=1, max_size=most).map(lambda rows: np.array(rows, dtype=float))


points = st.integers(1, 4).flatmap(grids)


def test_crowding_by_hand():
    front = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0], [3.0, 1.0]])
    assert crowding_distance(front).tolist() == [np.inf, 3 / 4 + 3 / 4, np.inf, 3 / 4 + 3 / 4]


@pytest.mark.parametrize("rows", [np.ones((3, 2)), np.zeros((0, 2))], ids=["all alike", "none"])
def test_equal_points_have_no_crowding_distance(rows):
    assert crowding_distance(rows).tolist() == [0.0] * len(rows)


def test_crowding_agrees_with_optuna():
    selection = pytest.importorskip("optuna.samplers.nsgaii._elite_population_selection_strategy")
    trial = pytest.importorskip("optuna.trial")
    rows = np.random.default_rng(2).normal(size=(30, 3))
    front = [trial.create_trial(values=list(row)) for row in rows]
    for number, one in enumerate(front):
        one.number = number
    theirs = selection._calc_crowding_distance(front)
    assert crowding_distance(rows).tolist() == pytest.approx([theirs[number] for number in range(30)])


@settings(max_examples=60, deadline=None)
@given(points)
def test_preference_sorts_by_front_then_crowding_then_sum(rows):
    ranks, room = nondominated_rank(rows), np.zeros(len(rows))
    for rank in set(ranks):
        room[ranks == rank] = crowding_distance(rows[ranks == rank])
    extent = rows.max(axis=0) - rows.min(axis=0)
    total = ((rows - rows.min(axis=0)) / np.where(extent > 0, extent, 1)).sum(axis=1)
    keys = [(rank, -own, -sum_) for rank, own, sum_ in zip(ranks, room, total, strict=True)]
    assert preference(rows).tolist() == [sum(other < key for other in keys) for key in keys]


def test_oriented_negates_objectives_to_minimize():
    assert oriented(np.array([[1.0, 2.0]]), ["maximize", "minimize"]).tolist() == [[1.0, -2.0]]
