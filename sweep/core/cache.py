"""The user's cache folder: what is computed once for each machine. RECIPE_CACHE names another one."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

from sweep.core.atomic import write_bytes
from sweep.core.hashing import content_hash, file_sha256

_SWEEP = Path(__file__).parents[1]


def cache_folder(kind: str) -> Path:
    """The folder of one kind of entries: below RECIPE_CACHE, else below XDG_CACHE_HOME or ~/.cache. It need not exist."""
    chosen = os.environ.get("RECIPE_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(chosen) if chosen else Path(home) / "recipe-finder") / kind


def make_room(folder: Path, most: int) -> None:
    """Remove the oldest half of the entries of a cache folder that holds `most` or more."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")] if folder.is_dir() else []
    if len(entries) < most:
        return
    for entry in sorted(entries, key=_written_at)[: len(entries) // 2]:
        gone = entry.with_name(f".{entry.name}.{os.getpid()}")
        try:
            entry.rename(gone)  # first, so that no process reads half of a folder
        except FileNotFoundError:  # removed by another process
            continue
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()


def keep(entry: Path, data: bytes, most: int, consequence: str) -> None:
    """Write an entry of a cache folder that holds fewer than `most`; where it cannot be written, warn once of the `consequence`."""
    try:
        make_room(entry.parent, most)
        write_bytes(entry, data)
    except OSError as broken:
        warn_once(entry.parent, str(broken.strerror), consequence)


def computed_once(entry: Path, make: Callable[[], bytes], most: int, consequence: str) -> bytes:
    """The content of an entry; made and kept where it is absent or cannot be read. See `keep` for `most` and `consequence`."""
    try:
        return entry.read_bytes()
    except OSError:
        made = make()
    keep(entry, made, most, consequence)
    return made


@cache
def code_hash(*packages: str) -> str:
    """A hash of the source files of some folders of `sweep`: what they compute is kept no longer than they stay the same."""
    files = sorted(file for name in packages for file in (_SWEEP / name).rglob("*.py"))
    return content_hash([file_sha256(file) for file in files])


@cache
def warn_once(folder: Path, problem: str, consequence: str) -> None:
    """Warn that a cache folder cannot be used and what follows, once per process."""
    warnings.warn(
        f"{folder} cannot be written ({problem}): {consequence}; set RECIPE_CACHE to a folder that can be written",
        stacklevel=2,
    )


def _written_at(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # removed by another process
        return 0.0
