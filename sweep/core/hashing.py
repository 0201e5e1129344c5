"""Content hashes: the same settings or bytes give the same hash on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

_BLOCK_BYTES = 1 << 20
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats that are whole numbers equal the int (1.0 hashes as 1)."""
    return _ENCODER.encode(_canonical(value))


def content_hash(value: Any, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as stream:
        return stream_sha256(stream)


def stream_sha256(stream: BinaryIO) -> str:
    """SHA-256 of what is left to read in a stream."""
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


_AS_THEY_ARE = {str, int, bool, type(None)}


def _canonical(value: Any) -> Any:
    kind = type(value)
    # What JSON knows comes first, by its very type: a chain of isinstance would be half the time of reading a ledger.
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is dict:
        return {
            key if type(key) is str else str(key): item if type(item) in _AS_THEY_ARE else _canonical(item)
            for key, item in value.items()
        }
    if kind is list:
        return [_canonical(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Path):
        return str(value)
    return value
