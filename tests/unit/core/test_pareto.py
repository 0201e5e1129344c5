"""Fronts and hypervolume against their definitions, against brute force, against Optuna's private ones; Holm's correction by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core.holm import holm
from sweep.core.pareto import dominated_by_any, hypervolume, nondominated_rank


def grids(objectives, most=12):
    row = st.tuples(*[st.integers(-1, 4)] * objectives)
    return st.lists(row, min_size=1, max_size=most).map(lambda rows: np.array(rows, dtype=float))


points = st.integers(1, 4).flatmap(grids)


def beats(a, b):
    return all(a >= b) and any(a > b)


def ranks_by_definition(rows):
    """The longest chain of points that beat one another, ending here."""
    depth = {}

    def of(index):
        if index not in depth:
            depth[index] = 1 + max(
                (of(other) for other in range(len(rows)) if beats(rows[other], rows[index])), default=0
            )
        return depth[index]

    return [of(index) for index in range(len(rows))]


def volume_by_counting(rows, reference):
    """Unit cells between whole-numbered corners that some point covers."""
    cells = itertools.product(
        *[range(int(low), int(max(rows[:, axis].max(), low))) for axis, low in enumerate(reference)]
    )
    return sum(any(all(row >= np.array(cell) + 1) for row in rows) for cell in cells)


@settings(max_examples=80, deadline=None)
@given(points)
def test_dominated_is_the_definition(rows):
    assert dominated_by_any(rows).tolist() == [any(beats(other, row) for other in rows) for row in rows]


@settings(max_examples=80, deadline=None)
@given(points)
def test_rank_is_the_longest_chain_above(rows):
    assert nondominated_rank(rows).tolist() == ranks_by_definition(rows)


@settings(max_examples=60, deadline=None)
@given(points)
def test_hypervolume_is_the_number_of_covered_cells(rows):
    reference = np.zeros(rows.shape[1])
    assert hypervolume(rows, reference) == pytest.approx(volume_by_counting(rows, reference))


@settings(max_examples=40, deadline=None)
@given(points, st.integers(0, 11), st.randoms(use_true_random=False))
def test_hypervolume_knows_no_order_and_never_falls(rows, keep, chance):
    reference, order = [0.0] * rows.shape[1], list(range(len(rows)))
    chance.shuffle(order)
    assert hypervolume(rows[order], reference) == pytest.approx(hypervolume(rows, reference))
    assert hypervolume(rows[: keep + 1], reference) <= hypervolume(rows, reference) + 1e-12


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_agrees_with_optuna_on_many_points(objectives):
    wfg = pytest.importorskip("optuna._hypervolume.wfg")
    for seed in range(5):
        rows = np.random.default_rng(seed).random((40, objectives))
        theirs = wfg.compute_hypervolume(-rows, np.zeros(objectives))  # Optuna minimizes
        assert hypervolume(rows, np.zeros(objectives)) == pytest.approx(theirs, rel=1e-12)


def test_hypervolume_agrees_with_darts():
    chance = np.random.default_rng(0)
    rows, darts = chance.random((15, 3)), chance.random((100_000, 3))
    hit = (rows[:, None] >= darts).all(axis=2).any(axis=0).mean()
    assert hypervolume(rows, [0, 0, 0]) == pytest.approx(hit, abs=4 * np.sqrt(0.25 / len(darts)))


@pytest.mark.parametrize(
    ("rows", "volume"),
    [([], 0), ([[np.nan, 3]], 0), ([[0, 5]], 0), ([[2, 3], [2, 3]], 6), ([[3, 1], [2, 2], [1, 3]], 6)],
)
def test_hypervolume_by_hand(rows, volume):
    assert hypervolume(np.array(rows, dtype=float).reshape(-1, 2), [0, 0]) == volume


def test_rank_agrees_with_optuna_on_many_points():
    theirs = pytest.importorskip("optuna.study._multi_objective")
    rows = np.random.default_rng(1).normal(size=(200, 3))
    assert (nondominated_rank(rows) - 1).tolist() == theirs._fast_non_domination_rank(-rows).tolist()


def test_a_point_with_a_gap_is_behind_all():
    assert nondominated_rank(np.array([[1.0, 1.0], [0.0, 0.0], [np.nan, 9.0]])).tolist() == [1, 2, 3]
    assert nondominated_rank(np.zeros((0, 2))).tolist() == []
    assert dominated_by_any(np.array([[1.0, 1.0], [0.0, 0.0], [np.nan, 9.0]])).tolist() == [False, True, True]


def test_holm_by_hand_and_with_a_missing_value():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04, 0.03]), [0.03, np.nan, 0.06, 0.06])
    assert holm([]).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values):
    # Holm's adjusted p is the largest Bonferroni p over all subsets of the family that hold the hypothesis.
    def closed(i):
        subsets = (
            s
            for size in range(1, len(p_values) + 1)
            for s in itertools.combinations(range(len(p_values)), size)
            if i in s
        )
        return max(min(1, len(s) * min(p_values[j] for j in s)) for s in subsets)

    np.testing.assert_allclose(holm(p_values), [closed(i) for i in range(len(p_values))], atol=1e-12)


def test_holm_agrees_with_statsmodels_where_it_is_installed():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(4).random(20) ** 3
    np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1])


def test_a_dominated_point_is_found_where_the_sums_are_equal_after_rounding_or_infinite():
    tiny = np.nextafter(0.0, 1.0)
    rows = np.array([[1.0, 0.0], [1.0, tiny], [np.inf, -np.inf], [np.inf, 0.0]])
    assert dominated_by_any(rows[:2]).tolist() == [True, False]
    assert dominated_by_any(rows).tolist() == [True, False, True, False]
    assert nondominated_rank(rows[:2]).tolist() == [2, 1]
