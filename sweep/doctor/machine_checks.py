"""Checks of this machine: versions, storage, disk, data, weights. Each yields findings and raises nothing."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from sweep.config.sweep_config import SweepConfig
from sweep.core.environment import in_environment
from sweep.core.errors import InputError
from sweep.core.storage import Storage

ROOT = Path(__file__).parents[2]
LOCK = "requirements.lock"
_OLDEST_PYTHON = (3, 11)
_LEAST_BYTES, _FEW_BYTES = 1e9, 10e9
_FULL_SHARE = 0.95  # Ray stops spilling objects there (local_fs_capacity_threshold)
_SHOWN = 4  # packages named; the rest are counted


@dataclass(frozen=True)
class Finding:
    """One line of the report; `fix` is empty when all is well."""

    check: str
    state: Literal["ok", "warn", "FAIL"]
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Subject:
    """What is checked: a sweep config or none, the run's storage, the address of a running Ray or none, the engine if it is known."""

    sweep_config: SweepConfig | None
    storage: str
    address: str | None
    engine: str | None = None


def check_versions(subject: Subject, lock: Path = ROOT / LOCK) -> Iterator[Finding]:
    """Python new enough; every package of the lock installed in that very version, Ray above all unless the engine does without it."""
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding(
            "versions",
            "FAIL",
            f"Python {running} is too old",
            "make the environment with Python 3.11 or newer: make setup",
        )
    if not lock.is_file():
        yield Finding(
            "versions", "warn", f"Python {running}; no {LOCK} here to compare packages with", "run from a checkout"
        )
        return
    pins = locked_packages(lock)
    found = {name: _installed(name) for name in pins}
    if subject.engine == "inline":
        found.pop("ray", None)
    others = {name: here for name, here in found.items() if here != pins[name]}
    if "ray" in others and others["ray"] is None and subject.engine is None and subject.address is None:
        yield Finding(
            "versions",
            "warn",
            "Ray is not installed; the inline engine needs none",
            "run with --engine inline, or install the packages of the lock: make setup",
        )
    elif "ray" in others:
        problem = f"Ray {others['ray'] or 'is not installed'}; the lock has {pins['ray']}, and nodes of two versions do not join"
        yield Finding("versions", "FAIL", problem, "make setup, or set resources.engine: inline, which needs none")
    elif others:
        named = ", ".join(
            f"{name} {here or 'missing'} for {pins[name]}" for name, here in list(others.items())[:_SHOWN]
        )
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        yield Finding(
            "versions", "warn", f"{len(others)} of {len(pins)} packages differ from {LOCK}: {named}{more}", "make setup"
        )
    else:
        ray = f", Ray {found['ray']}" if "ray" in found else ""
        yield Finding("versions", "ok", f"Python {running}{ray}; all {len(found)} packages as in {LOCK}")


def check_storage(subject: Subject, wait_s: float = 20) -> Iterator[Finding]:
    """Write, read, list and delete a file where the sweep will write; nothing is left."""
    storage = Storage(subject.storage)
    with _nothing_left(storage.local):
        try:
            storage.probe(wait_s)
        except InputError as mistake:
            yield Finding("storage", "FAIL", f"{storage.url}: {mistake.problem}", mistake.fix)
        else:
            yield Finding("storage", "ok", f"{storage.url}: written, read, listed, deleted")
    if subject.address and storage.local is not None:
        yield Finding(
            "storage",
            "warn",
            f"{storage.url} is a folder; other nodes may not have it",
            "give --storage with an s3:// or gs:// URL, or file:// with a folder that every node mounts",
        )


def check_disk(subject: Subject) -> Iterator[Finding]:
    """Free space where results go and where temporary files go, to which Ray spills its objects."""
    results = Storage(subject.storage).local
    temporary = "temporary files" if subject.engine == "inline" else "Ray's temporary files"
    places = {"results": _existing(results) if results else None, temporary: Path(tempfile.gettempdir())}
    for what, folder in places.items():
        if folder is None:
            continue
        usage = shutil.disk_usage(folder)
        text, fix = f"{usage.free / 1e9:.0f} GB free for {what} ({folder})", "free some space, or choose another disk"
        if usage.free < _LEAST_BYTES:
            yield Finding("disk", "FAIL", text, fix)
        elif usage.free < _FEW_BYTES or usage.used > _FULL_SHARE * usage.total:
            yield Finding("disk", "warn", text, fix)
        else:
            yield Finding("disk", "ok", text)


def check_data(subject: Subject, shards: Path = Path("shards")) -> Iterator[Finding]:
    """Every part of every shard folder hashed and compared with its manifest; all of `shards` when there is no sweep config."""
    from sweep.data.simulated import PHANTOMS, is_phantom
    from sweep.shards.reader import verify
    from sweep.shards.schema import MANIFEST

    if subject.sweep_config:
        names = list(dict.fromkeys((subject.sweep_config.data.source, subject.sweep_config.data.target)))
    else:
        names = [str(path.parent) for path in sorted(shards.glob(f"*/{MANIFEST}"))]
    if not names:
        yield Finding("data", "ok", f"no data sets in {shards}; {' and '.join(PHANTOMS)} need none")
    for name in names:
        if is_phantom(name):
            yield Finding("data", "ok", f"{name} is simulated")
            continue
        try:
            manifest = verify(name)
        except InputError as mistake:
            yield Finding("data", "FAIL", f"{mistake.where}: {mistake.problem}", mistake.fix)
        else:
            yield Finding(
                "data", "ok", f"{name}: {manifest.images} images of {', '.join(manifest.classes)}; hashes agree"
            )


def check_weights(subject: Subject) -> Iterator[Finding]:
    """Build every pretrained backbone of the sweep config without network access, as on a closed cluster."""
    if subject.sweep_config is None:
        return
    pairs = [
        (backbone, weights)
        for backbone in subject.sweep_config.values_of("backbone")
        for weights in subject.sweep_config.values_of("weights")
    ]
    wanted = [pair for pair in pairs if pair[1] is not None]
    if not wanted:
        yield Finding("weights", "ok", "none are asked for")
    for backbone, weights in wanted:
        try:
            with _offline():
                _build(subject.sweep_config, str(backbone), str(weights))
        except InputError as mistake:
            yield Finding("weights", "FAIL", f"{backbone}, {mistake.where}: {mistake.problem}", mistake.fix)
        else:
            yield Finding("weights", "ok", f"{backbone}: {weights} is here")
        yield from _past(subject, str(backbone), str(weights))


def locked_packages(lock: Path) -> dict[str, str]:
    """Version of every package that the lock asks for on this machine."""
    from packaging.requirements import Requirement

    lines = re.findall(r"^([A-Za-z0-9][^\s\\]*==[^\\\n]*)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    asked = [Requirement(line.strip()) for line in lines]
    return {
        item.name: next(iter(item.specifier)).version for item in asked if item.marker is None or item.marker.evaluate()
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _past(subject: Subject, backbone: str, weights: str) -> Iterator[Finding]:
    """What the weights may have seen of the sweep's data sets; a shard folder that cannot be read is the data check's finding."""
    from sweep.models.known_weights import may_have_seen
    from sweep.shards.reader import read_manifest

    assert subject.sweep_config is not None
    sets = {}
    for place in dict.fromkeys((subject.sweep_config.data.source, subject.sweep_config.data.target)):
        try:
            sets[place] = place if place.startswith("phantom-") else read_manifest(place).name
        except InputError:
            continue
    names = {name for name in subject.sweep_config.values_of("weights_name") if name}
    named = str(names.pop()) if len(names) == 1 else None
    for sentence in may_have_seen(backbone, weights, named, sets):
        yield Finding("weights", "warn", sentence)


@contextlib.contextmanager
def _nothing_left(folder: Path | None) -> Iterator[None]:
    """Remove the empty folders that a probe had to make."""
    before = _existing(folder) if folder else None
    yield
    while folder is not None and folder != before and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _build(sweep_config: SweepConfig, backbone: str, weights: str) -> None:
    from sweep.models.classifier import ClassifierSpec, build_classifier

    build_classifier(ClassifierSpec(backbone, 2, sweep_config.data.image_px), weights, seed=0)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """The model hub's client looks into its cache only."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        with in_environment({"HF_HUB_OFFLINE": "1"}):
            yield
    finally:
        constants.HF_HUB_OFFLINE = before
