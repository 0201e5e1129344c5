"""A call that loops, allocates or crashes ends with the file's name, and the next call works."""

import functools
import os
import re
import threading
import time
import warnings

import numpy as np
import pytest

from sweep.core import bounded as module
from sweep.core.bounded import bounded
from sweep.core.errors import InputError


def echo(value, more=0):
    return {"value": value, "sum": np.arange(6, dtype=np.int16).reshape(2, 3) + more}


def loop():
    re.match(r"(a+)+$", "a" * 50 + "b")


def allocate():
    return np.ones(64 << 30, np.uint8)


def crash():
    os.abort()


def refuse(name):
    raise InputError(name, "damaged", "restore it")


def warn(text):
    warnings.warn(text, stacklevel=1)


def fail():
    raise KeyError("a fault of the program")


def test_values_arrays_bytes_and_paths_cross(tmp_path):
    given = {"a": [1, 2.5, None, "ü\udce9"], "b": b"\0\xff", "c": tmp_path}
    answer = bounded(functools.partial(echo, more=3), given, where="x")
    assert (
        answer["value"] == given
        and answer["sum"].dtype == np.int16
        and answer["sum"].tolist() == [[3, 4, 5], [6, 7, 8]]
    )


@pytest.mark.parametrize(
    ("call", "problem"), [(loop, "longer than 0.3 s"), (allocate, "GiB of memory"), (crash, "SIGABRT")]
)
def test_a_call_without_end_is_ended(call, problem):
    with pytest.raises(InputError, match=problem) as refused:
        bounded(call, where="scan.png", seconds=0.3 if call is loop else 20)
    assert refused.value.where == "scan.png" and refused.value.fix
    assert bounded(echo, 1, where="x")["value"] == 1


def test_mistakes_of_the_user_and_of_the_program_cross():
    with pytest.raises(InputError, match="a.png: damaged; restore it"):
        bounded(refuse, "a.png", where="x")
    with pytest.raises(RuntimeError, match="a fault of the program"):
        bounded(fail, where="x")
    with pytest.raises(TypeError, match="no function of a module"):
        bounded(lambda: 1, where="x")


def test_warnings_cross(recwarn):
    told = []
    for _ in range(2):
        bounded(warn, "twice", where="x", on_warning=told.append)
    assert told == ["twice"] * 2 and not recwarn.list
    with pytest.warns(UserWarning, match="nobody listens"):
        bounded(warn, "nobody listens", where="x")


def test_one_child_serves_several_threads():
    answers = {}

    def ask(number):
        answers[number] = bounded(echo, number, where="x")["value"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number for number in range(8)}


def test_an_interrupt_leaves_no_answer_behind(monkeypatch):
    bounded(echo, 0, where="x")
    ask = module._Child.ask

    def interrupted(self, request):
        ask(self, request)
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Child, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bounded(echo, 1, where="x")
    monkeypatch.undo()
    assert bounded(echo, 2, where="x")["value"] == 2


def test_the_child_ends_with_its_parent():
    bounded(echo, 0, where="x")
    process = module._child._process
    process.stdin.close()
    for _ in range(200):
        if process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() == 0
    module._child = None


def folder():
    return os.getcwd()


def test_a_call_works_in_the_folder_of_its_caller(tmp_path, monkeypatch):
    """The process for decoding lives on while a notebook changes its folder."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert bounded(folder, where="x") == str(tmp_path / name)
