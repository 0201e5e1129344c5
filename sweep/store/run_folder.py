"""The run folder: one sweep config, one driver at a time."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sweep.config.sweep_config import SweepConfig
from sweep.core.devices import device_text, same_device
from sweep.core.durations import duration
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.store.code_versions import VERSIONS
from sweep.store.lease import leased
from sweep.store.ledger import FOLDER

SPACE_FILE = "space.yaml"
ENVIRONMENT_FILE = "environment.json"
_LOCK_FILE = "driver.lock"
_LARGE_SHARE = 0.5  # of the time for which worker groups were held
_TAKEN = (
    errno.EWOULDBLOCK,
    errno.EAGAIN,
    errno.EACCES,
)  # what flock says of a lock that another process has; anything else says that there are no locks
DEVICES = "devices"  # in the environment file: every kind of device that computed a record of the run
StillOurs = Callable[[], None]  # raises InputError once another driver has the run
# What may change between two runs of one folder: how it is computed, never what is computed.
_FREE_TO_CHANGE = ("resources", "budget", "smoke")
_PACKAGES = (
    "ray",
    "torch",
    "torchvision",
    "timm",
    "optuna",
    "torchattacks",
    "scikit-image",
    "numpy",
    "pandas",
    "pyarrow",
)


@contextmanager
def opened(run: Storage, sweep_config: SweepConfig) -> Iterator[StillOurs]:
    """Hold the run folder for one driver; write the resolved sweep config and the environment. Yields a check to call before each write.

    Raises InputError when another driver holds it, when it cannot be written, or when it holds another sweep config.
    """
    _make_folder(run)
    with held(run) as still_ours:
        check_same_config(run, sweep_config)
        check_same_code(run)
        run.write(SPACE_FILE, _yaml_text(sweep_config.model_dump(mode="json")).encode())
        known = {DEVICES: devices_of(run)}
        run.write(ENVIRONMENT_FILE, json.dumps(environment() | known, indent=1).encode())
        yield still_ours


def _make_folder(run: Storage) -> None:
    """Make the run folder and test that it can be written, so that a sweep does not fail when it stores its results."""
    if run.local is not None:
        try:
            run.local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--storage {run.url}",
                f"cannot be written ({error.strerror or error})",
                "give a folder you may write to",
            ) from error
    run.probe()


@contextmanager
def held(run: Storage) -> Iterator[StillOurs]:
    """Hold the run folder exclusively; InputError names the holder when another driver has it. Yields a check that raises once it is lost.

    A local folder is locked; an object store, or a file system without locks, is leased.
    """
    if run.local is None:
        with leased(run) as lease:
            yield lease.check
        return
    with open(run.local / _LOCK_FILE, "a+", encoding="utf-8") as lock:
        if _locked(lock, run):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            yield lambda: _refuse_if_replaced(run.url, lock)
            return
    with leased(run) as lease:
        yield lease.check


def refuse_if_held(run: Storage) -> None:
    """InputError names the driver that holds a local run folder, in milliseconds; `held` decides, also for other storage."""
    if run.local is None:
        return
    try:
        lock = open(run.local / _LOCK_FILE, encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError:  # none yet, or not readable, which `opened` reports
        return
    with lock:
        _locked(lock, run, fcntl.LOCK_SH)


def _refuse_if_replaced(url: str, lock: IO[str]) -> None:
    """InputError where the folder was removed, or made again, since the lock was taken: another driver may then hold the new one."""
    try:
        same = os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
    except FileNotFoundError:
        same = False
    if not same:
        raise InputError(
            url,
            "the run folder was removed or replaced while this sweep ran; nothing more is written to it",
            "run the same command, which goes on with what the folder holds now",
        )


def _locked(lock: IO[str], run: Storage, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file; False where the file system has no locks. Raises InputError when another process holds it."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            return False
        lock.seek(0)
        raise InputError(
            run.url, f"another sweep writes there ({lock.read().strip()})", "wait for it, or give another --storage"
        ) from error
    return True


def check_same_config(run: Storage, sweep_config: SweepConfig) -> None:
    """InputError where the folder holds another sweep config than this one.

    What the folder holds is read through today's model first: keys that did not exist when it was written have their defaults in both.
    """
    if not run.exists(SPACE_FILE):
        return
    before, now = (_flat(config.model_dump(mode="json")) for config in (read_config(run), sweep_config))
    changed = [
        key for key in {**before, **now} if before.get(key) != now.get(key) and key.split(".")[0] not in _FREE_TO_CHANGE
    ]
    if changed:
        listing = "".join(f"\n  {key} was {before.get(key)!r} and is {now.get(key)!r}" for key in sorted(changed))
        raise InputError(
            f"{run.url}/{SPACE_FILE}",
            "the folder holds another sweep config",
            f"rename the sweep config, or give another --storage; it differs in{listing}",
        )


def check_same_code(run: Storage) -> None:
    """InputError where the folder holds records of another version of the training code: a report would mix them with new ones."""
    if not run.names(FOLDER) or not run.exists(ENVIRONMENT_FILE):
        return
    before, now = json.loads(run.read(ENVIRONMENT_FILE)).get("versions", {}).get("training"), VERSIONS["training"]
    if before != now:
        which = "an earlier version" if before is None else f"version {before}"
        raise InputError(
            run.url,
            f"its records were made by {which} of the training code, and this is version {now}",
            "give another --storage, or go on with the code that made them",
        )


def read_config(run: Storage) -> SweepConfig:
    """The sweep config that a run folder holds. Raises InputError when it holds none, or one that this version cannot read."""
    try:
        text = run.read(SPACE_FILE).decode()
    except FileNotFoundError as error:
        raise InputError(run.url, f"has no {SPACE_FILE}", "name the folder of a sweep that ran") from error
    try:
        return SweepConfig.model_validate(YAML(typ="safe", pure=True).load(text))
    except (ValidationError, YAMLError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "is no YAML"}
        place = ".".join(str(part) for part in first["loc"])
        fix = "go on with the version that wrote the folder, or give another --storage"
        raise InputError(f"{run.url}/{SPACE_FILE}", f"{place} {first['msg']}".strip(), fix) from error


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {key: value for name, branch in tree.items() for key, value in _flat(branch, f"{prefix}{name}.").items()}


def _yaml_text(tree: Any) -> str:
    buffer = io.StringIO()
    YAML(typ="safe", pure=True).dump(tree, buffer)
    return buffer.getvalue()


def environment() -> dict[str, Any]:
    """Versions of packages and code, and hardware."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "commit": _commit(),
        "versions": dict(VERSIONS),
    }


def devices_of(run: Storage) -> list[dict[str, Any]]:
    """Every kind of device that has computed a record of the run, in the order in which they came."""
    return list(json.loads(run.read(ENVIRONMENT_FILE)).get(DEVICES, [])) if run.exists(ENVIRONMENT_FILE) else []


def note_device(run: Storage, device: dict[str, Any]) -> str | None:
    """Add a record's device to the environment file; where the run has records of another one, a line that says so."""
    known = devices_of(run)
    if device in known:
        return None
    facts = json.loads(run.read(ENVIRONMENT_FILE)) if run.exists(ENVIRONMENT_FILE) else {}
    run.write(ENVIRONMENT_FILE, json.dumps({**facts, DEVICES: [*known, device]}, indent=1).encode())
    others = list(dict.fromkeys(device_text(other) for other in known if not same_device(other, device)))
    if not others:
        return None
    return (
        f"records are now computed on {device_text(device)}, earlier ones on {'; '.join(others)}: their last bits may differ, "
        "and `device` in each record says which is which"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def note_overhead(run: Storage, wall_s: float, worker_groups: int, finished: list) -> str | None:
    """Add the overhead per record (start-up and waiting) to the environment file; returns it as a line to print.

    A large share means that trials are too short for a cluster.
    """
    if not finished:
        return None
    made = {
        stage["hash"]: stage["seconds"]
        for event in finished
        for stage in event.get("stages", [])
        if not stage["reused"]
    }
    work_s = sum(event["seconds"]["total"] for event in finished) + sum(made.values())
    idle_s = max(0.0, wall_s * worker_groups - work_s)
    each_s = round(idle_s / len(finished), 2)
    facts = json.loads(run.read(ENVIRONMENT_FILE))
    facts["overhead"] = {
        "records": len(finished),
        "worker_groups": worker_groups,
        "wall_s": round(wall_s, 1),
        "work_s": round(work_s, 1),
        "overhead_s_per_record": each_s,
    }
    run.write(ENVIRONMENT_FILE, json.dumps(facts, indent=1).encode())
    short = "; trials this short hardly need a cluster" if idle_s > _LARGE_SHARE * (idle_s + work_s) else ""
    return f"{duration(work_s)} of work for {len(finished)} records, and {duration(each_s)} of start-up and waiting a record{short}"
