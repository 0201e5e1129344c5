"""Dataclasses of results <-> JSON: undefined numbers are null in the file and NaN in memory, sequences are tuples."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any


def as_text(record: object, *, indent: int, digits: int | None = None, ascii_only: bool = True) -> str:
    """A dataclass, or a sequence of them, as JSON; floats with so many significant digits, or as they are."""
    return json.dumps(_plain(record, digits), indent=indent, allow_nan=False, ensure_ascii=ascii_only) + "\n"


def from_text(kind: Any, text: str | bytes) -> Any:
    """A value of the annotated type from what `as_text` made of it. Raises ValueError, KeyError, TypeError or AttributeError where it is none."""
    return _built(kind, json.loads(text))


def _plain(value: Any, digits: int | None) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name), digits) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(one, digits) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, digits) for one in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(value) if digits is None else float(f"{value:.{digits}g}")
    return value.item() if hasattr(value, "item") else value


def _built(kind: Any, value: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _built(hints[name], one) for name, one in value.items()})  # type: ignore[operator]
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_built(one, part) for one, part in zip(kinds, value, strict=True))
    if origin is dict:
        return {key: _built(inner[1], one) for key, one in value.items()}
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        plain = [one for one in inner if dataclasses.is_dataclass(one)]
        return _built(plain[0], value) if plain and isinstance(value, dict) else value
    return math.nan if kind is float and value is None else value
