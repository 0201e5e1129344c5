"""manifest.json -> Manifest: every field checked by type, range and against the other fields.

Each violation is an InputError that names the file, the field, the value found and the fix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from sweep.core.errors import InputError, first_line, suggestion
from sweep.shards.schema import FORMAT, MULTI_LABEL, TASKS, Manifest, Part

IMPORT_FIX = "import it again: python -m sweep.importers NAME SRC DST"
COPY_FIX = f"copy it again from where it was copied from, or {IMPORT_FIX}"
MOST_BYTES = 64 << 20  # of a manifest: 300,000 parts, or a million skipped files
_PART_NAME = re.compile(r"[\w-][\w.-]*\.parquet", re.ASCII)  # a file name, never a path
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 60  # characters of a wrong value that a message quotes


def parse_manifest(content: bytes, path: str) -> Manifest:
    """The manifest in `content`, read from `path`; InputError names the field that is missing, unknown or wrong."""
    value = _object(content, path)
    if value.get("format") != FORMAT:
        raise InputError(f"{path}, format", f"{_quoted(value.get('format'))}, this version reads {FORMAT}", IMPORT_FIX)
    _check_names(value, {field.name for field in fields(Manifest)}, _OPTIONAL, path)
    for name, (fits, wanted) in _FIELDS.items():
        if name in value and not fits(value[name]):
            raise InputError(f"{path}, {name}", f"{_quoted(value[name])} is not {wanted}", IMPORT_FIX)
    parts = tuple(_part(part, f"{path}, parts[{number}]") for number, part in enumerate(value["parts"]))
    manifest = Manifest(**{**value, "classes": tuple(value["classes"]), "parts": parts})
    _check_together(manifest, path)
    return manifest


def _object(content: bytes, path: str) -> dict[str, Any]:
    if len(content) > MOST_BYTES:
        raise InputError(path, f"{len(content)} bytes are too many for a manifest", IMPORT_FIX)
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as broken:
        raise InputError(path, f"cannot be read as a manifest ({first_line(broken, _SHOWN)})", IMPORT_FIX) from None
    if not isinstance(value, dict):
        raise InputError(path, f"cannot be read as a manifest ({type(value).__name__} instead of object)", IMPORT_FIX)
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError when a key is repeated, of which `json` would keep the last one without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is repeated")
    return found


def _part(value: Any, where: str) -> Part:
    if not isinstance(value, dict):
        raise InputError(where, f"{_quoted(value)} is not an object", IMPORT_FIX)
    _check_names(value, set(_PART_FIELDS), frozenset(), where)
    for name, (fits, wanted) in _PART_FIELDS.items():
        if not fits(value[name]):
            raise InputError(f"{where}.{name}", f"{_quoted(value[name])} is not {wanted}", IMPORT_FIX)
    return Part(**value)


def _check_names(value: Mapping[str, Any], known: set[str], optional: frozenset[str], where: str) -> None:
    missing = sorted(known - optional - set(value))
    if missing:
        raise InputError(where, f"the field {missing[0]!r} is missing", IMPORT_FIX)
    unknown = sorted(set(value) - known)
    if unknown:
        raise InputError(where, f"unknown field {unknown[0]!r}", f"{suggestion(unknown[0], known)}; or {IMPORT_FIX}")


def _check_together(manifest: Manifest, path: str) -> None:
    """What no field can show alone."""
    classes, files = manifest.classes, [part.file for part in manifest.parts]
    for name, values in (("classes", classes), ("parts", files)):
        repeated = next((value for number, value in enumerate(values) if value in values[:number]), None)
        if repeated is not None:
            raise InputError(f"{path}, {name}", f"{repeated!r} is listed twice", IMPORT_FIX)
    if not classes and manifest.labelled:
        raise InputError(f"{path}, classes", "no class in a labelled data set", IMPORT_FIX)
    if manifest.task == MULTI_LABEL and not manifest.labelled:
        raise InputError(f"{path}, labelled", "false in a set with several findings per image", IMPORT_FIX)
    if manifest.positive and manifest.positive not in classes:
        fix = f"{suggestion(manifest.positive, classes)}; or {IMPORT_FIX}"
        raise InputError(f"{path}, positive", f"{manifest.positive!r} is none of the classes", fix)
    rows = sum(part.rows for part in manifest.parts)
    if rows != manifest.images:
        raise InputError(f"{path}, images", f"{manifest.images} images, and {rows} rows in its parts", IMPORT_FIX)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_SHA256.fullmatch(value))


Rule = tuple[Callable[[Any], bool], str]
_FIELDS: dict[str, Rule] = {
    "name": (_is_name, "a name"),
    "domain": (_is_text, "text"),
    "classes": (lambda value: isinstance(value, list) and all(map(_is_name, value)), "a list of class names"),
    "positive": (_is_text, "text"),
    "images": (_is_count, "a number of images of 1 or more"),
    "parts": (lambda value: isinstance(value, list) and bool(value), "a list of one or more parts"),
    "licence": (_is_text, "text"),
    "citation": (_is_text, "text"),
    "source": (_is_text, "text"),
    "import_px": (_is_count, "a number of pixels"),
    "settings": (lambda value: isinstance(value, dict), "an object"),
    "sha256": (_is_hash, "a SHA-256 in 64 hex digits"),
    "task": (lambda value: value in TASKS, f"one of {', '.join(TASKS)}"),
    "labelled": (lambda value: isinstance(value, bool), "true or false"),
}
_OPTIONAL = frozenset({"task", "labelled"})  # introduced later; older manifests mean their defaults
_PART_FIELDS: dict[str, Rule] = {
    "file": (lambda value: isinstance(value, str) and bool(_PART_NAME.fullmatch(value)), "the name of a Parquet file"),
    "rows": (_is_count, "a number of rows of 1 or more"),
    "bytes": (_is_count, "a number of bytes"),
    "sha256": (_is_hash, "a SHA-256 in 64 hex digits"),
}


def _quoted(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
