"""Small sweeps for the scorecard: run in a forked process that can be killed, and compared with the undisturbed one.

The undisturbed sweep runs in the process that forks the others, which so find everything imported and compiled, and the data prepared.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from analysis.frames import load_run
from analysis.rank import as_json
from analysis.ranking import rank
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.run import run_sweep
from sweep.store.ledger import read_ledger

# A search with halving, a race, a synthetic pool and attacks: every kind of event and of stored file.
SEARCH = """\
name: reliability
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 12}
grid: {synthetic_per_real: [0, 0.5]}
search: {lr: {distribution: log_uniform, min: 1e-5, max: 1e-1}}
fixed: {backbone: small_cnn, epochs: 3, batch_size: 16, generator: cgan, generator_networks: shared, generator_px: 32, generator_steps: 2, generator_width: 4}
searcher: {algorithm: random, trials: 2}
scheduler: {type: asha, grace_epochs: 1, eta: 2}
seeds: {min: 2, max: 3, race: true}
threats: {attacks: [fgsm], eps: [1/255], images: 4}
resources: {engine: inline, max_concurrent_trials: 1}
"""
PLAIN = """\
name: reliability
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 12}
grid: {lr: [0.001, 0.002, 0.003]}
fixed: {backbone: small_cnn, epochs: 2, batch_size: 16}
threats: {attacks: [fgsm], eps: [1/255], images: 4}
seeds: 1
resources: {engine: inline, max_concurrent_trials: 1}
"""
KILLED = -signal.SIGKILL
Prepare = Callable[[], None]


def write(folder: Path, text: str) -> Path:
    """The sweep config as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reliability.yaml"
    path.write_text(text)
    return path


def forked(function: Callable[[], int], log: Path) -> int:
    """Start `function` in a forked process with its output in `log`; returns the process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        with open(log, "ab", buffering=0) as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        code = function()
    except InputError as refused:
        os.write(2, f"error: {refused}\n".encode())
        code = 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def waited(child: int) -> int:
    """Exit code of a process; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sweep(folder: Path, text: str = SEARCH, prepare: Prepare = lambda: None, **overrides: str) -> int:
    """Run the sweep in `folder` to its end in a forked process, after `prepare` there; returns its exit code."""
    return waited(start(folder, text, prepare, **overrides))


def start(
    folder: Path, text: str = SEARCH, prepare: Prepare = lambda: None, address: str | None = None, **overrides: str
) -> int:
    """The same, not waited for; returns the process id. With the `address` of a Ray cluster the sweep joins it."""
    if not undisturbed.cache_info().currsize:
        undisturbed(PLAIN)  # imports and compiles for all
    config = write(folder, text)
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    place = f"file://{folder / 'run'}" if address else str(folder / "run")

    def run() -> int:
        prepare()
        return run_sweep(config, settings, False, False, place, address)

    return forked(run, folder / "sweep.log")


_NOT_PREPARED = ("records", "trials", "artifacts", "tensorboard", "report.html", "driver.lock")


def prepared(folder: Path, text: str) -> Path:
    """Make the run folder with the data as the undisturbed sweep has prepared them, and nothing else of it; returns `folder`."""
    shutil.copytree(undisturbed(text), folder / "run", ignore=shutil.ignore_patterns(*_NOT_PREPARED))
    return folder


def output(folder: Path) -> str:
    """What the sweeps in a folder printed."""
    return (folder / "sweep.log").read_text(errors="replace")


@cache
def undisturbed(text: str = SEARCH) -> Path:
    """The sweep run once in this process on the inline engine without any fault, for all cases of this process."""
    folder = Path(mkdtemp(prefix="undisturbed-"))
    with open(folder / "sweep.log", "w", encoding="utf-8") as log, redirect_stdout(log):
        code = run_sweep(write(folder, text), {"resources.engine": "inline"}, False, False, str(folder / "run"), None)
    assert code == 0, output(folder)[-2000:]
    return folder / "run"


def facts(run: Path) -> dict:
    """Of every finished record its metrics and the bytes of its predictions; of every other one how it ended."""
    reading = read_ledger(run)
    finished = {
        record: (event["metrics"], (run / f"trials/{record[0]}/seed-{record[1]}/predictions.parquet").read_bytes())
        for record, event in reading.finished().items()
    }
    stopped = {record: (event["epoch"], event["reason"]) for record, event in reading.stopped().items()}
    return {"finished": finished, "stopped": stopped, "failed": sorted(reading.failed())}


def ranking(run: Path) -> str:
    """The whole ranking as JSON."""
    return as_json(rank(load_run(run)))


def check_equal(run: Path, other: Path, in_order: bool = True) -> None:
    """Records bit-equal, the ranking equal, nothing lost, nothing twice.

    Not `in_order`: configurations with equal scores, which are listed in the order in which they finished, may have changed places.
    """
    assert facts(run) == facts(other), "records differ from those of the undisturbed sweep"
    if in_order:
        assert ranking(run) == ranking(other), "the ranking differs from that of the undisturbed sweep"
    else:
        assert _by_signature(run) == _by_signature(other), "the ranking differs from that of the undisturbed sweep"
    counts = Counter((event["signature"], event["seed"]) for event in read_ledger(run).of_kind("finish"))
    assert set(counts.values()) == {1}, "a record finished twice"
    assert read_ledger(run).damages == [] or all(
        damage.reason == "not a whole event" for damage in read_ledger(run).damages
    )


def _by_signature(run: Path) -> dict:
    return {row["signature"]: {**row, "rank": None} for row in json.loads(ranking(run))["rows"]}


def count_writes(folder: Path) -> int:
    """How many times a whole sweep writes to its storage."""
    log = folder / "writes"

    def prepare() -> None:
        on_write(lambda number, name: log.write_text(str(number)))

    assert sweep(folder / "counted", SEARCH, prepare) == 0, output(folder / "counted")[-2000:]
    return int(log.read_text())


def on_write(act: Callable[[int, str], None]) -> None:
    """In this process call `act` with number and name before each write to storage."""
    count = 0

    def counted(original: Callable) -> Callable:
        def method(self: Storage, name: str, data: bytes) -> object:
            nonlocal count
            count += 1
            act(count, name)
            return original(self, name, data)

        return method

    for name in ("write", "append", "write_blocks"):
        setattr(Storage, name, counted(getattr(Storage, name)))
