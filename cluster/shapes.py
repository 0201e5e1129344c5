"""Values against a shape: unknown keys, wrong kinds, choices that do not exist; each with its place and fix.

A shape is a kind by name ("string", "integer", "number", "boolean", "quantity", "integer or text", "any"), a tuple of choices, a one-item list
(a list of that), `Map(shape)` (free keys), or a dict of known keys. SDK models and JSON Schemas are turned into shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.document import Place
from sweep.core.errors import suggestion

Shape = Any
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|[MGTPE]|[KMGTPE]i)?")
_WHOLE_TEXT = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Map:
    """A mapping with free keys and values of one shape."""

    value: Shape


@dataclass(frozen=True)
class Misfit:
    """One value that does not fit."""

    place: Place
    problem: str
    fix: str


def misfits(value: Any, shape: Shape, place: Place = ()) -> Iterator[Misfit]:
    """Everything in `value` that does not fit `shape`; `place` is where it stands."""
    if isinstance(shape, (Map, dict)):
        yield from _in_mapping(value, shape, place)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield Misfit(place, f"{value!r} is not a list", "write it as a list")
        else:
            for index, item in enumerate(value):
                yield from misfits(item, shape[0], (*place, index))
    elif isinstance(shape, tuple):
        if value not in shape:
            yield Misfit(place, f"{value!r} is not offered", suggestion(str(value), map(str, shape)))
    elif not _is_kind(value, shape):
        yield Misfit(place, f"{value!r} is not a {shape}", _KIND_FIXES.get(shape, f"give a {shape}"))


def amount(value: Any) -> float | None:
    """A quantity of Kubernetes as a number: 500m is 0.5, 8Gi is 8 x 2**30; None for anything else."""
    if isinstance(value, bool) or not _is_kind(value, "quantity"):
        return None
    number, unit = re.fullmatch(r"([\d.]+)(m|k|[MGTPE]|[KMGTPE]i)?", str(value)).groups()  # type: ignore[union-attr]
    if unit in (None, "m"):
        return float(number) * (1e-3 if unit else 1)
    return float(number) * (1024 if unit.endswith("i") else 1000) ** ("kMGTPE".index(unit[0].replace("K", "k")) + 1)


def from_json_schema(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Shape:
    """Shape of a JSON Schema as Kubernetes and Google publish them; `definitions` resolves $ref by its last part."""
    if "$ref" in schema:
        return from_json_schema(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields"):
        return "any"
    if "enum" in schema:
        return tuple(schema["enum"])
    if "properties" in schema:
        return {name: from_json_schema(inner, definitions) for name, inner in schema["properties"].items()}
    if schema.get("type") == "array":
        return [from_json_schema(schema.get("items", {}), definitions)]
    if isinstance(schema.get("additionalProperties"), Mapping):
        return Map(from_json_schema(schema["additionalProperties"], definitions))
    if schema.get("format") in ("int64", "uint64"):  # written as text in JSON, which loses digits of large numbers
        return "integer or its text"
    return schema.get("type", "any") if schema.get("type") != "object" else "any"


def from_botocore(model: Any) -> Shape:
    """Shape of a botocore model; a structure that contains itself ends as "any"."""
    return _from_botocore(model, ())


def _from_botocore(model: Any, parents: tuple[str, ...]) -> Shape:
    if model.name in parents:
        return "any"
    parents = (*parents, model.name)
    if model.type_name == "structure":
        return {name: _from_botocore(member, parents) for name, member in model.members.items()}
    if model.type_name == "list":
        return [_from_botocore(model.member, parents)]
    if model.type_name == "map":
        return Map(_from_botocore(model.value, parents))
    if getattr(model, "enum", None):
        return tuple(model.enum)
    kinds = {
        "integer": "integer",
        "long": "integer",
        "boolean": "boolean",
        "string": "string",
        "float": "number",
        "double": "number",
    }
    return kinds.get(model.type_name, "any")


def _in_mapping(value: Any, shape: Shape, place: Place) -> Iterator[Misfit]:
    if not isinstance(value, dict):
        yield Misfit(place, f"{value!r} is not a section", "write its keys under it")
        return
    for key, inner in value.items():
        here = (*place, str(key))
        if isinstance(shape, Map):
            yield from misfits(inner, shape.value, here)
        elif key in shape:
            yield from misfits(inner, shape[key], here)
        else:
            yield Misfit(here, "unknown key", suggestion(str(key), shape))


def _is_kind(value: Any, kind: str) -> bool:
    return _KINDS[kind](value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "any": lambda value: True,
    "string": _text,
    "boolean": lambda value: isinstance(value, bool),
    "integer": _whole,
    "number": _number,
    "integer or text": lambda value: _whole(value) or _text(value),
    "integer or its text": lambda value: _whole(value) or (_text(value) and bool(_WHOLE_TEXT.fullmatch(value))),
    "quantity": lambda value: value >= 0 if _number(value) else _text(value) and bool(_QUANTITY.fullmatch(value)),
}
_KIND_FIXES = {
    "string": "put it in quotes",
    "boolean": "write true or false",
    "integer": "write a whole number without quotes",
    "quantity": 'write it like "4", 500m or 16Gi',
}
