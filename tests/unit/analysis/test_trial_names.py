"""A trial's name on a command line."""

import pytest

from analysis.ranking import rank
from analysis.trial_names import find_signature, short_names, trial_signature, unique_start
from sweep.core.errors import InputError


def test_short_names_are_unique_starts():
    names = ["abcdef01", "abcdef02", "abcxyz99", "0123456789"]
    short = short_names(names)
    assert short == {"abcdef01": "abcdef01", "abcdef02": "abcdef02", "abcxyz99": "abcxyz", "0123456789": "012345"}
    assert all(unique_start(start, names, "run") == name for name, start in short.items())


def test_a_start_of_several_or_of_none_is_refused_with_names():
    names = ["abcdef01", "abcdef02"]
    with pytest.raises(InputError, match=r"2 trials begin with it; give more of it: abcdef01, abcdef02"):
        unique_start("abc", names, "run")
    with pytest.raises(InputError, match="no finished trial begins with it"):
        unique_start("zz", names, "run")
    with pytest.raises(InputError):
        unique_start("", names, "run")


def test_rows_and_best_are_those_of_the_ranking(run, run_folder, estimates):
    order = [row.signature for row in rank(run, estimates=estimates).rows]
    assert find_signature(run, "best") == trial_signature(str(run_folder), "best") == order[0]
    assert trial_signature(str(run_folder), "3") == order[2]
    assert trial_signature(str(run_folder), order[4][:9]) == trial_signature(str(run_folder), order[4]) == order[4]
    for wrong in ("0", "13"):
        with pytest.raises(InputError, match="row from 1 to 12"):
            trial_signature(str(run_folder), wrong)
