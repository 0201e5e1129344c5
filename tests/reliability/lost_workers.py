"""Worker processes of the inline engine that are killed in mid-epoch."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil

from sweep.core.seeds import rng
from sweep.store.ledger import read_ledger
from tests.fakes.patience import patient
from tests.reliability.rows import Row
from tests.reliability.sweeps import PLAIN, check_equal, output, prepared, start, undisturbed, waited

KILLS = 5
_LONG = PLAIN.replace("epochs: 2", "epochs: 8")
_SAVED_EVERY_S = 15.0  # the training state, at the end of an epoch


def killed_workers(number: int, folder: Path) -> None:
    """Five times a random worker is killed while its trial trains; the sweep ends as if it had not been."""
    draw = rng(number, "workers")
    child = start(
        prepared(folder, _LONG), _LONG, resources__max_concurrent_trials="2", resources__max_failures=str(2 * KILLS)
    )
    kills: list[float] = []
    while len(kills) < KILLS:
        seen, deadline = _epochs(folder), time.monotonic() + patient(120)
        while _epochs(folder) == seen:
            assert psutil.Process(child).status() != psutil.STATUS_ZOMBIE, f"ended after {len(kills)} kills"
            assert time.monotonic() < deadline, output(folder)[-2000:]
            time.sleep(0.02)
        time.sleep(float(draw.uniform(0, 0.3)))
        workers = [one for one in psutil.Process(child).children() if "sweep.execution.inline_worker" in _words(one)]
        workers[int(draw.integers(len(workers)))].kill()
        kills.append(time.time())
    assert waited(child) == 0, output(folder)[-2000:]
    assert not read_ledger(folder / "run").failed()
    check_equal(folder / "run", undisturbed(_LONG), in_order=False)
    _check_repeated(folder, kills)


def _epochs(folder: Path) -> int:
    return len(read_ledger(folder / "run").of_kind("epoch"))


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def _check_repeated(folder: Path, kills: list[float]) -> None:
    """An epoch is repeated only if it ended within the time between two saved states, and an epoch, before a kill."""
    ended: dict[tuple, float] = {}
    longest = 0.0
    for event in read_ledger(folder / "run").of_kind("epoch"):
        record, epoch = (event["signature"], event["seed"]), event["epoch"]
        at = datetime.fromisoformat(event["time"]).timestamp()
        if (before := ended.get((*record, epoch - 1))) and not any(before <= kill <= at for kill in kills):
            longest = max(longest, at - before)
        if (earlier := ended.get((*record, epoch))) is not None:
            lost_s = min(kill - earlier for kill in kills if kill >= earlier)
            assert lost_s <= _SAVED_EVERY_S + 2 * longest + 1, f"{record}: epoch {epoch} was lost after {lost_s:.1f} s"
        ended[(*record, epoch)] = at


ROWS = (
    Row(
        "R2",
        "workers killed in mid-epoch: bit-equal; only what was trained since the last saved state (15 s) is repeated",
        6,
        1,
        180,
        killed_workers,
        3,
        faults=KILLS,
    ),
)
