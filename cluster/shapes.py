"""Values against a shape: unknown keys, wrong kinds, choices that do not exist; each with its place and fix.

A shape is a kind by name ("string", "integer", "number", "boolean", "quantity", "any"), a tuple of choices, a one-item list
(a list of that), `Map(shape)` (free keys), or a dict of known keys. SDK models and JSON Schemas are turned into shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.document import Place
from sweep.core.errors import suggestion

Shape = Any
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?)?")
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
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    whole = isinstance(value, int) and number
    text = isinstance(value, str)
    return {
        "any": True,
        "string": text,
        "boolean": isinstance(value, bool),
        "integer": whole,
        "number": number,
        "integer or its text": whole or (text and bool(_WHOLE_TEXT.fullmatch(value))),
        "quantity": (number and value >= 0) or (text and bool(_QUANTITY.fullmatch(value))),
    }[kind]


_KIND_FIXES = {
    "string": "put it in quotes",
    "boolean": "write true or false",
    "integer": "write a whole number without quotes",
    "quantity": 'write it like "4", 500m or 16Gi',
}
