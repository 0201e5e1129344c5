"""The sweep config's JSON Schema: what an editor offers and marks while one is written."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

from sweep.config.hyperparameters import HYPERPARAMETERS, Hyperparameter
from sweep.config.sweep_config import PLACES, SweepConfig

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
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
            name: {"description": row.describe, **_PLACED[place](_value(name, row))}
            for name, row in HYPERPARAMETERS.items()
        }
        entry["additionalProperties"] = False
    return document


def _value(name: str, row: Hyperparameter) -> Document:
    """What one hyperparameter takes: its types, or the rows of its table."""
    empty = ["null"] if row.optional else []
    choices = list(choices_of(name))
    if choices:
        return {"enum": [*choices, *([None] if row.optional else [])]}
    return {"type": [*(_TYPES[kind] for kind in row.kinds), *empty]}


def choices_of(name: str) -> Iterable[str | int]:
    """The values of a hyperparameter that takes only those of a table; nothing for the others."""
    from sweep.synth.settings import IMAGE_SIZES_PX
    from sweep.training.recipe import Recipe

    if name == "generator_px":
        return IMAGE_SIZES_PX
    table = getattr(HYPERPARAMETERS[name].check, "table", None)
    if table is not None:
        return table()
    hint = typing.get_type_hints(Recipe).get(name)
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def _searched(value: Document) -> Document:
    """A distribution, whose listed values are of the hyperparameter's own kind."""
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
