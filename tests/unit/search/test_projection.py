"""A stopped trial is told as it would stand at the end."""

import pytest

from sweep.search.projection import END, projected


def test_gains_of_the_others_are_added_rung_by_rung():
    curves = [{1: [0.4, 0.0], 3: [0.5, 0.1], END: [0.8, 0.1]}, {1: [0.2, 0.0], 3: [0.5, 0.3]}]
    assert projected([0.1, 0.0], 1, curves) == pytest.approx([0.1 + 0.2 + 0.3, 0.0 + 0.2 + 0.0])
    assert projected([0.1, 0.0], 3, curves) == pytest.approx([0.4, 0.0])


def test_without_other_trials_the_projection_is_the_value():
    assert projected([0.1], 3, []) == [0.1]
    assert projected([0.1], 3, [{1: [0.0], 3: [0.5]}]) == [0.1]


def test_a_skipped_rung_is_bridged():
    assert projected([0.0], 1, [{1: [0.2], END: [0.7]}, {3: [0.9], END: [1.0]}]) == pytest.approx([0.5])
