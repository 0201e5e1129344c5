"""A trial's name on a command line."""

from collections import Counter

import pytest
import typer

from analysis.ranking import rank
from analysis.trial_names import find_signature, short_names, trial_signature, unique_start
from recipe_finder.__main__ import SECTIONS
from sweep.core.command_line import Command
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


def _taking_trials():
    """(command, words with TRIAL where a trial is named) of every command of the console script that takes one."""
    for name, row in ((name, row) for rows in SECTIONS.values() for name, row in rows.items()):
        command = row.load()
        if not isinstance(command, Command):
            continue
        arguments = [one for one in typer.main.get_command(command.app()).params if one.param_type_name == "argument"]
        names = [str(one.metavar or one.name).upper() for one in arguments]
        for number, one in enumerate(arguments):
            if names[number] == "TRIAL" or "TRIAL" in one.help:
                places = {"RUN": "RUN", "TRIAL": "TRIAL"} | dict.fromkeys(("A", "B"), "RUN:best")
                words = [places.get(other, "new") for other in names]
                words[number] = "TRIAL" if "RUN" in names else "RUN:TRIAL"
                yield pytest.param(command, words, id=f"{name} {names[number]}")


TAKING_TRIALS = list(_taking_trials())


def test_the_commands_that_take_a_trial_are_found():
    assert {one.id for one in TAKING_TRIALS} == {
        "compare A",
        "compare B",
        "export TRIAL",
        "replay TRIAL",
        "soups TRIAL",
    }


@pytest.mark.parametrize(("command", "words"), TAKING_TRIALS)
def test_every_command_reads_a_trial_s_name_alike(command, words, run, run_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # The start that several share may be a digit, which alone is a row number.
    monkeypatch.setattr("analysis.trial_names._is_place", lambda name: name in ("best", "13"))
    first = Counter(signature[0] for signature in run.means.index).most_common(1)[0][0]
    several = sorted(signature for signature in run.means.index if signature.startswith(first))
    assert len(several) > 1
    short = short_names(run.means.index)
    for trial, said in (
        (first, f"{len(several)} trials begin with it; give more of it: {short[several[0]]}, {short[several[1]]}"),
        ("zz", "no finished trial begins with it"),
        ("13", "give a row from 1 to 12"),
    ):
        filled = [word.replace("TRIAL", trial).replace("RUN", str(run_folder)) for word in words]
        assert command(filled) == 2, trial
        error = capsys.readouterr().err
        assert said in error and f"{trial}:" in error
    assert not list(tmp_path.iterdir())
