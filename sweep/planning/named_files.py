"""Files and folders that a sweep config names: are they there, and are they what they are named as? Looked at without loading torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import InputError
from sweep.core.location import is_url
from sweep.core.storage import Storage
from sweep.data.simulated import PHANTOMS, check_phantom, is_phantom
from sweep.pipeline.pretrained_colorizer import MISSING_FIX, colorizer_file
from sweep.shards.schema import MANIFEST
from sweep.store.trial import OTHER_DOMAIN

_PYTORCH = (b"PK\x03\x04", b"\x80")  # a zip archive, or a pickle of torch before 1.6
_MOST_HEADER_BYTES = 100_000_000  # as the safetensors library

Where = Callable[[tuple], str]
"""Place of a value in the sweep config, as its messages name it."""


def dotted(loc: tuple) -> str:
    """The place where the line is not known: `data.source`."""
    return ".".join(map(str, loc))


def missing_files(sweep_config: SweepConfig, where: Where = dotted, shards: bool = True) -> list[InputError]:
    """Every shard folder (with `shards`), weights file and colorizer that is named and is not there, or is something else."""
    found = [*_weights(sweep_config, where), *_colorizers(sweep_config, where)]
    return [*(_shard_folders(sweep_config, where) if shards else ()), *found]


def _shard_folders(sweep_config: SweepConfig, where: Where) -> Iterator[InputError]:
    for key in ("source", "target"):
        name = getattr(sweep_config.data, key)
        if is_phantom(name):
            try:
                check_phantom(name)
            except InputError as unknown:
                yield InputError(where(("data", key)), f"{name}: {unknown.problem}", unknown.fix)
            continue
        if is_url(name) or Storage(name).exists(MANIFEST):
            continue
        fix = f"make it with: python -m sweep.importers NAME SRC {name}; or use {' or '.join(PHANTOMS)}"
        problem = f"{name} has no {MANIFEST}" if Path(name).exists() else f"{name}: no such shard folder"
        yield InputError(where(("data", key)), problem, fix)


def _named(sweep_config: SweepConfig, name: str, *words: str | None) -> Iterator[tuple[tuple, str]]:
    """Each file that a hyperparameter names, with its place in the sweep config."""
    if name in sweep_config.fixed:
        listed: dict[tuple, Any] = {("fixed", name): sweep_config.fixed[name]}
    else:
        listed = {("grid", name, index): value for index, value in enumerate(sweep_config.grid.get(name, []))}
        values = sweep_config.search[name].values if name in sweep_config.search else None
        listed |= {("search", name, "values", index): value for index, value in enumerate(values or [])}
    yield from ((loc, str(value)) for loc, value in listed.items() if value not in words)


def _weights(sweep_config: SweepConfig, where: Where) -> Iterator[InputError]:
    for loc, name in _named(sweep_config, "weights", None, "imagenet"):
        path = Path(name).expanduser()
        if not path.is_file():
            fix = "give imagenet, or the path of a .safetensors or .pth file"
            yield InputError(where(loc), f"{name}: no such weights file", fix)
        elif not (_is_safetensors(path) if path.suffix == ".safetensors" else _is_pytorch(path)):
            fix = "save the state dict alone, best as .safetensors"
            yield InputError(where(loc), f"{name}: not a readable weights file", fix)


def _colorizers(sweep_config: SweepConfig, where: Where) -> Iterator[InputError]:
    for loc, name in _named(sweep_config, "colorizer_from", None, OTHER_DOMAIN):
        address = colorizer_file(name)
        try:
            place, file = Storage.of_file(address)
            there = place.exists(file)
        except (OSError, InputError):
            there = False
        if not there:
            yield InputError(where(loc), f"{name}: no colorizer at {address}", MISSING_FIX)


def _is_pytorch(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4).startswith(_PYTORCH)


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins with the length of its header and the header, a JSON object."""
    with open(path, "rb") as stream:
        start = stream.read(8)
        if len(start) < 8 or (length := struct.unpack("<Q", start)[0]) > _MOST_HEADER_BYTES:
            return False
        try:
            return isinstance(json.loads(stream.read(length)), dict)
        except (ValueError, RecursionError):
            return False
