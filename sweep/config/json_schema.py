"""The JSON Schema of sweep configs, for completion and checks in editors."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from sweep.config.hyperparameters import HYPERPARAMETERS
from sweep.config.sweep_config import PLACES, SweepConfig
from sweep.core.hyperparameter import Hyperparameter

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_WHOLE_FOLD = {
    "const": "all"
}  # how people write the size of a training fold that is not cut (sweep.config.written_values)
Document = dict[str, Any]


def schema() -> Document:
    """JSON Schema of the sweep config, with the known hyperparameters under grid, search and fixed."""
    document = SweepConfig.model_json_schema()
    seeds = document["properties"]["seeds"]
    whole = {"type": "integer", "minimum": 1, "maximum": 1000, "description": "how many seeds each configuration gets"}
    document["properties"]["seeds"] = {
        "anyOf": [whole, {"$ref": "#/$defs/Seeds"}],
        **{key: value for key, value in seeds.items() if key == "default"},
    }
    for place in PLACES:
        entry = document["properties"][place]
        entry.pop("additionalProperties", None)
        entry["properties"] = {
            name: {"description": row.help, **_PLACED[place](_value(row))} for name, row in HYPERPARAMETERS.items()
        }
        entry["additionalProperties"] = False
    document["$defs"]["DataSection"]["properties"]["train_images"]["anyOf"].append(_WHOLE_FOLD)
    return document


def _value(row: Hyperparameter) -> Document:
    """The values of one hyperparameter: its choices, or its types and range."""
    if row.name == "train_images":
        return {"anyOf": [_of_type(row), _WHOLE_FOLD]}
    choices = row.check.choices()
    if choices:
        return {"enum": [*choices, *([None] if row.optional else [])]}
    return _of_type(row)


def _of_type(row: Hyperparameter) -> Document:
    bounds = row.check.bounds()
    limits = dict(zip(("minimum", "maximum"), bounds, strict=True)) if bounds else {}
    return {"type": [*(_TYPES[kind] for kind in row.kinds), *(["null"] if row.optional else [])], **limits}


def _searched(value: Document) -> Document:
    """A distribution whose listed values are valid for the hyperparameter."""
    return {
        "allOf": [
            {"$ref": "#/$defs/Distribution"},
            {"properties": {"values": {"anyOf": [{"type": "null"}, {"type": "array", "items": value}]}}},
        ]
    }


_PLACED: Mapping[str, typing.Callable[[Document], Document]] = {
    "grid": lambda value: {"type": "array", "items": value, "minItems": 1},
    "search": _searched,
    "fixed": lambda value: value,
}
