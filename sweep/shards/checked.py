"""Shard folder -> manifest whose parts are verified: SHA-256 and contents, once per machine and part.

What was verified is remembered in the user's cache folder by size and modification time, as build tools do: a file that was
changed in either is hashed again. Contents are remembered by the hash of the manifest, which holds the hashes of all parts.
RECIPE_CACHE names another cache folder.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pyarrow import fs

from sweep.core.cache import cache_folder, keep
from sweep.core.errors import InputError
from sweep.core.hashing import content_hash, stream_sha256
from sweep.core.location import absolute, below, located
from sweep.shards.contents import check_contents, damaged
from sweep.shards.manifest import COPY_FIX, IMPORT_FIX, MOST_BYTES, parse_manifest
from sweep.shards.schema import MANIFEST, Manifest, Part

_CHECKS_VERSION = 1  # of check_contents: raise it when it refuses more
_KIND = "verified"  # of the entries in the cache folder
_MOST_ENTRIES = 4096  # of the cache folder, a few hundred bytes each

Stamp = list[int]  # size in bytes, modification time in nanoseconds


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of a shard folder, here or at a URL, checked against itself and the sizes of its parts.

    Cheap: no part is opened. Raises InputError when the folder is missing or unfinished, when a field is wrong, or when a part
    is absent or of another size.
    """
    return _read(folder)[0]


def checked_manifest(folder: Path | str) -> Manifest:
    """`read_manifest`, with the hash and the contents of every part verified unless this machine has done so before.

    Everything that reads rows of a shard folder begins here. Raises InputError naming the part, row and column.
    """
    return _checked(folder, again=False)


def verify(folder: Path | str) -> Manifest:
    """The same, with every part hashed and checked whatever this machine remembers."""
    return _checked(folder, again=True)


def check_part(path: str, sha256: str) -> None:
    """InputError unless the part at this address has this SHA-256; hashed once per machine, size and time."""
    files, place = located(path)
    info = files.get_file_info(place)
    if info.type != fs.FileType.File:
        raise InputError(path, "listed in the manifest, but absent", COPY_FIX)
    _check_hash(path, sha256, _stamp(info), again=False)


def _read(folder: Path | str) -> tuple[Manifest, str, list[Stamp]]:
    """Manifest, SHA-256 of its file, and size and time of every part."""
    files, root = located(folder)
    kind = files.get_file_info(root).type
    if kind in (fs.FileType.File, fs.FileType.Unknown):
        raise InputError(folder, "a file, not the folder of a data set", f"give the folder that holds {MANIFEST}")
    if kind != fs.FileType.Directory:
        raise InputError(folder, "there is no such folder", f"check the path, or {IMPORT_FIX}")
    if files.get_file_info(f"{root}/{MANIFEST}").type != fs.FileType.File:
        raise InputError(folder, f"no {MANIFEST}: not a data set, or an import that did not finish", IMPORT_FIX)
    path = below(folder, MANIFEST)
    size = files.get_file_info(f"{root}/{MANIFEST}").size or 0  # a read of MOST_BYTES would allocate all of them
    try:
        with files.open_input_stream(f"{root}/{MANIFEST}") as stream:
            content = stream.read(min(size, MOST_BYTES) + 1)
    except OSError as broken:
        raise damaged(path, broken) from None
    manifest = parse_manifest(content, path)
    found = files.get_file_info([f"{root}/{part.file}" for part in manifest.parts])
    for part, info in zip(manifest.parts, found, strict=True):
        _check_size(below(folder, part.file), info, part.bytes)
    return manifest, hashlib.sha256(content).hexdigest(), [_stamp(info) for info in found]


def _check_size(path: str, found: fs.FileInfo, size: int) -> None:
    if found.type != fs.FileType.File:
        raise InputError(path, "listed in the manifest, but absent", COPY_FIX)
    if found.size != size:
        raise InputError(path, f"{found.size} bytes where the manifest says {size}", COPY_FIX)


def _checked(folder: Path | str, *, again: bool) -> Manifest:
    manifest, identity, stamps = _read(folder)
    _refuse_unlisted(folder, manifest.parts)
    for part, stamp in zip(manifest.parts, stamps, strict=True):
        _check_hash(below(folder, part.file), part.sha256, stamp, again)
    fact = [identity, _CHECKS_VERSION]
    if again or not _is_known("contents", identity, fact):
        check_contents(folder, manifest)
        _remember("contents", identity, fact)
    return manifest


def _check_hash(path: str, sha256: str, stamp: Stamp, again: bool) -> None:
    name, fact = absolute(path), [*stamp, sha256]
    if not again and _is_known("part", name, fact):
        return
    files, place = located(path)
    try:
        with files.open_input_stream(place) as stream:
            found = stream_sha256(stream)
    except OSError as broken:
        raise damaged(path, broken) from None
    if found != sha256:
        raise InputError(path, "its bytes are not those the manifest was written for", COPY_FIX)
    _remember("part", name, fact)


def _refuse_unlisted(folder: Path | str, parts: tuple[Part, ...]) -> None:
    """A part that the manifest does not list comes from another import: one of the two is not what it seems."""
    files, root = located(folder)
    listed = {part.file for part in parts}
    for info in files.get_file_info(fs.FileSelector(root)):
        name = info.base_name
        if name.endswith(".parquet") and not name.startswith(".") and name not in listed:
            fix = f"remove it if it is not of this data set, or {IMPORT_FIX}"
            raise InputError(below(folder, name), "a part that the manifest does not list", fix)


def _stamp(info: fs.FileInfo) -> Stamp:
    return [info.size, info.mtime_ns or 0]


_in_process: dict[str, Any] = {}  # what this process verified or read from the cache folder


def _is_known(kind: str, name: str, fact: list[Any]) -> bool:
    key = _key(kind, name)
    if key not in _in_process:
        try:
            _in_process[key] = json.loads((cache_folder(_KIND) / key).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # absent or damaged: verified anew
            return False
    return _in_process[key] == fact


def _remember(kind: str, name: str, fact: list[Any]) -> None:
    key = _key(kind, name)
    _in_process[key] = fact
    entry = cache_folder(_KIND) / key
    keep(entry, json.dumps(fact).encode(), _MOST_ENTRIES, "every process verifies the shards anew")


def _key(kind: str, name: str) -> str:
    return f"{kind}-{content_hash(name, 32)}.json"
