"""Drivers that are killed, stopped, doubled or whose disk fails; determinism; leaks over many trials."""

from __future__ import annotations

import errno
import gc
import os
import signal
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import psutil

from sweep.core.seeds import rng
from sweep.core.storage import Storage
from sweep.store.ledger import read_ledger
from sweep.store.run_folder import held
from tests.fakes.patience import patient
from tests.reliability.rows import Row
from tests.reliability.sweeps import (
    KILLED,
    PLAIN,
    SEARCH,
    check_equal,
    count_writes,
    facts,
    forked,
    on_write,
    output,
    prepared,
    start,
    sweep,
    undisturbed,
    waited,
)

_FULL_KILLS = 50


@cache
def _writes() -> int:
    return count_writes(Path(mkdtemp(prefix="counted-")))


def killed_driver(number: int, folder: Path) -> None:
    """SIGKILL at one of the sweep's writes, spread over all of them: data, models, training state, results, ledger, report."""
    last = _writes()
    place = 1 + (number * 37 % _FULL_KILLS) * (last - 1) // (_FULL_KILLS - 1)  # spread, also over the first few numbers

    def die(count: int, name: str) -> None:
        if count == place:
            os.kill(os.getpid(), signal.SIGKILL)

    assert sweep(folder, SEARCH, lambda: on_write(die)) == KILLED
    assert sweep(folder) == 0, output(folder)[-2000:]
    check_equal(folder / "run", undisturbed())


_ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ESTALE)
_TARGETS = ("records/", "result.json", "report.html")


def storage_fault(number: int, folder: Path) -> None:
    """Every write of one kind of file fails from some point on (or once): a message or a complete sweep, and the next attempt completes."""
    target = _TARGETS[number % 3]
    code = _ERRORS[number // 3 % 6]
    once = number >= 18
    fail_from = int(rng(number, "fault").integers(1, 4))
    seen = 0

    def fail(count: int, name: str) -> None:
        nonlocal seen
        if target in name:
            seen += 1
            if seen == fail_from or (seen > fail_from and not once):
                raise OSError(code, os.strerror(code), str(folder / "run" / name))

    ended = sweep(prepared(folder, PLAIN), PLAIN, lambda: on_write(fail))
    said = output(folder)
    assert "Traceback" not in said, said[-2000:]
    assert ended in (0, 2, 3), f"exit code {ended}: {said[-500:]}"
    if ended != 0:
        assert os.strerror(code) in said and str(folder / "run") in said, said[-1000:]
    read_ledger(folder / "run")
    assert sweep(folder, PLAIN) == 0, output(folder)[-2000:]
    check_equal(folder / "run", undisturbed(PLAIN), in_order=False)


def double_driver(number: int, folder: Path) -> None:
    """A second driver starts while the first one lives: one writer, the other one out within three seconds with the holder's name."""
    first = start(prepared(folder, PLAIN), PLAIN)
    deadline = time.monotonic() + patient(30)
    while not (folder / "run" / "driver.lock").exists() or not (folder / "run" / "driver.lock").read_text():
        assert time.monotonic() < deadline, "the first driver took no lock"
        time.sleep(0.01)
    time.sleep(float(rng(number, "double").uniform(0, 1.5)))
    if os.waitpid(first, os.WNOHANG) != (0, 0):
        raise AssertionError("the first driver ended before the second one began")
    begin = time.monotonic()
    second = sweep(folder, PLAIN)
    seconds = time.monotonic() - begin
    assert waited(first) == 0, output(folder)[-2000:]
    assert second == 2 and seconds < 3, f"exit code {second} after {seconds:.0f} s"
    assert f"another sweep writes there (process {first} on " in output(folder)
    check_equal(folder / "run", undisturbed(PLAIN))


def same_seed_twice(number: int, folder: Path) -> None:
    """Two runs of one sweep config give equal bits."""
    assert sweep(folder) == 0, output(folder)[-2000:]
    check_equal(folder / "run", undisturbed())


def one_or_more_at_once(number: int, folder: Path) -> None:
    """Three trials at once, each in a process of its own, give the bits of one after another."""
    assert sweep(prepared(folder, PLAIN), PLAIN, resources__max_concurrent_trials="3") == 0, output(folder)[-2000:]
    assert facts(folder / "run") == facts(undisturbed(PLAIN))


def stopped_process(number: int, folder: Path) -> None:
    """SIGSTOP in mid-sweep, SIGCONT later: the sweep goes on as if nothing had been."""
    child = start(prepared(folder, PLAIN), PLAIN)
    deadline = time.monotonic() + patient(120)
    while not read_ledger(folder / "run").of_kind("epoch"):
        assert time.monotonic() < deadline, output(folder)[-2000:]
        time.sleep(0.02)
    os.kill(child, signal.SIGSTOP)
    time.sleep(90 if number else 5)
    os.kill(child, signal.SIGCONT)
    assert waited(child) == 0, output(folder)[-2000:]
    check_equal(folder / "run", undisturbed(PLAIN))


def two_sweeps_at_once(number: int, folder: Path) -> None:
    """Two sweeps in two folders at the same time give what each gives alone."""
    children = [start(prepared(folder / name, PLAIN), PLAIN) for name in "ab"]
    assert [waited(child) for child in children] == [0, 0]
    for name in "ab":
        check_equal(folder / name / "run", undisturbed(PLAIN))


def clock_set_back(number: int, folder: Path) -> None:
    """The wall clock jumps a day back in mid-sweep: equal records, in the order in which they were written."""
    wall, shift = time.time, [0.0]

    def prepare() -> None:
        time.time = lambda: wall() + shift[0]
        import sweep.store.ledger as module

        class Shifted(module.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(time.time(), tz)

        module.datetime = Shifted
        on_write(lambda count, name: shift.__setitem__(0, -86400.0 if "result.json" in name else shift[0]))

    assert sweep(prepared(folder, PLAIN), PLAIN, prepare) == 0, output(folder)[-2000:]
    events = read_ledger(folder / "run").events
    assert min(event["time"] for event in events) < events[0]["time"], "the clock did not jump"
    check_equal(folder / "run", undisturbed(PLAIN))


def replay_and_export_end(number: int, folder: Path) -> None:
    """`replay` gives equal metrics and `export` a file; both processes end by themselves."""
    from sweep.export import main as export
    from sweep.replay import main as replay

    run = undisturbed(PLAIN)
    signature = next(iter(read_ledger(run).finished()))[0]
    folder.mkdir(exist_ok=True)
    assert waited(forked(lambda: replay([str(run), signature]), folder / "sweep.log")) == 0, output(folder)[-2000:]
    child = forked(lambda: export([str(run), signature, str(folder / "out")]), folder / "sweep.log")
    assert waited(child) == 0, output(folder)[-2000:]
    assert list((folder / "out").rglob("*.safetensors"))


def soak(number: int, folder: Path) -> None:
    """Many trials in one driver: no growth of memory above 0.3 MB a trial, no file left open, later trials as cheap as early ones."""
    trials = 500 if number else 40
    rates = ", ".join(f"{0.001 + place * 1e-6:.6f}" for place in range(trials))
    text = PLAIN.replace("[0.001, 0.002, 0.003]", f"[{rates}]").replace("epochs: 2", "epochs: 1")
    text = text.replace("threats: {attacks: [fgsm], eps: [1/255], images: 4}\n", "")
    marks: list[tuple[float, int, float]] = []

    def note(count: int, name: str) -> None:
        if name.endswith("result.json"):
            gc.collect()
            me = psutil.Process()
            marks.append((me.memory_info().rss / 1e6, me.num_fds(), time.process_time()))
            (folder / "marks").write_text(repr(marks))

    assert sweep(folder, text, lambda: on_write(note)) == 0, output(folder)[-2000:]
    from ast import literal_eval

    marks = literal_eval((folder / "marks").read_text())
    assert len(marks) == trials
    tenth = trials // 10
    growth = (marks[-1][0] - marks[tenth][0]) / (trials - tenth)
    assert growth <= 0.3, f"{growth:.2f} MB a trial"
    assert marks[-1][1] <= marks[tenth][1], f"{marks[tenth][1]} open files became {marks[-1][1]}"
    early = (marks[2 * tenth][2] - marks[tenth][2]) / tenth
    late = (marks[-1][2] - marks[-1 - tenth][2]) / tenth
    assert late <= 1.5 * early, f"a trial cost {early:.2f} CPU s and later {late:.2f}"


def held_folder_is_free_after_a_kill(number: int, folder: Path) -> None:
    """A driver killed with -9 holds nothing: the next one has the folder at once, and no process is left."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    child = start(prepared(folder, PLAIN), PLAIN, resources__max_concurrent_trials="2")
    deadline = time.monotonic() + patient(120)
    while not read_ledger(folder / "run").of_kind("epoch"):
        assert time.monotonic() < deadline, output(folder)[-2000:]
        time.sleep(0.02)
    family = psutil.Process(child).children(recursive=True)
    os.kill(child, signal.SIGKILL)
    waited(child)
    with held(Storage(folder / "run")):
        pass
    _, alive = psutil.wait_procs(family, timeout=patient(15))
    assert not alive, [process.cmdline() for process in alive]
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before
    assert sweep(folder, PLAIN) == 0, output(folder)[-2000:]
    check_equal(folder / "run", undisturbed(PLAIN), in_order=False)


ROWS = (
    Row(
        "R1",
        "driver killed with -9 at any write, same command again: records and ranking bit-equal",
        _FULL_KILLS,
        6,
        60,
        killed_driver,
        10,
    ),
    Row(
        "R5",
        "writes of ledger, result or report fail (6 errors, for good or once): message with place, then resumed",
        36,
        9,
        45,
        storage_fault,
        12,
    ),
    Row("R8", "two drivers on one run folder: one writes, the other is out within 3 s", 20, 3, 45, double_driver, 10),
    Row("R13-twice", "the same seed twice: metrics and predictions bit-equal", 3, 1, 60, same_seed_twice, 3),
    Row("R13-at-once", "one trial at a time against three: bit-equal", 3, 1, 90, one_or_more_at_once, 3),
    Row(
        "R14-kill",
        "after kill -9 no process is left and the folder is free",
        5,
        1,
        90,
        held_folder_is_free_after_a_kill,
        5,
    ),
    Row("R15", "soak (first case 40 trials, second 500): memory, open files, CPU time a trial", 2, 1, 1800, soak),
    Row("sigstop", "SIGSTOP for 5 s and for 90 s: goes on, bit-equal", 2, 1, 180, stopped_process, 2),
    Row("two-sweeps", "two sweeps at once in two folders: each as if alone", 3, 1, 90, two_sweeps_at_once, 3),
    Row("clock", "the clock set back by a day in mid-sweep", 2, 1, 60, clock_set_back, 2),
    Row("replay-export", "replay and export exit by themselves", 1, 1, 90, replay_and_export_end),
)
