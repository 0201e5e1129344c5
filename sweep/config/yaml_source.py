"""text of a sweep config -> plain values, each with the place where it was written.

YAML 1.2 only: YAML 1.1 reads `1:2` as 62 and `1e-4` as text, both usual in sweep configs. Tags, merge keys, excessive nesting and
recursive aliases are refused.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sweep.core.errors import InputError

_DEEPEST = 20  # levels of nesting; a sweep config has four
_MOST_VALUES = 100_000  # of a whole file, every alias written out: a few lines of aliases of aliases make billions
_OF_YAML_1_1 = re.compile(r"[-+]?(0b[01][01_]*|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?)")  # 0b100, 6_4
_INDENTATION = "write each key once, with consistent indentation"


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a line of the file, possibly in its smoke section, or an option of the command."""

    line: int | None = None
    smoke: bool = False
    option: bool = False

    def where(self, dotted: str) -> str:
        """The place as a message gives it."""
        if self.option:
            return f"--set {dotted}"
        return f"line {self.line}, {'smoke: ' if self.smoke else ''}{dotted}"


@dataclass
class Written:
    """The values of a sweep config, and the origin of each by its path."""

    tree: dict[str, Any]
    origins: dict[tuple, Origin] = field(default_factory=dict)

    def where(self, loc: tuple) -> str:
        """The place of a value, or of the section that would contain it."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
        known = next(
            (self.origins[loc[:depth]] for depth in range(len(loc), 0, -1) if loc[:depth] in self.origins), None
        )
        return known.where(dotted) if known else dotted

    def set(self, key: str, value: Any, origin: Origin) -> None:
        """Set the value of a dotted key. Raises InputError where a part of the key is no section."""
        *parents, last = steps = key.split(".")
        tree = self.tree
        for parent in parents:
            if tree.get(parent) is None:
                tree[parent] = {}
            elif parent == "seeds" and type(tree[parent]) is int:
                tree[parent] = {"min": tree[parent]}
            tree = tree[parent]
            if not isinstance(tree, dict):
                raise InputError(
                    origin.where(key),
                    f"{parent} is not a section",
                    "name a key of a section, like data.image_px",
                )
        tree[last] = value
        place = tuple(steps)
        self.origins = {loc: one for loc, one in self.origins.items() if loc[: len(place)] != place} | {place: origin}

    def copy(self) -> Written:
        """A copy that may be changed."""
        return Written(copy.deepcopy(self.tree), dict(self.origins))


def read_file(path: Path) -> Written:
    """A sweep config's values. Raises InputError, with the line, for what is no plain YAML 1.2."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = sorted(str(other) for other in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise InputError(
            path, "no such file", f"files there: {', '.join(near)}" if near else "give the path of a sweep config"
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", "give a UTF-8 text file") from error
    node = _load(text, lambda line: f"{path}:{line}" if line else str(path), _INDENTATION)
    if not isinstance(node, dict):
        raise InputError(path, "holds no keys", "start it with name: and data:")
    written = Written({})
    written.tree = _plain(node, (), written.origins, str(path))
    return written


def read_value(text: str, where: str) -> Any:
    """The value of --set, written as in the file. Raises InputError for what is no plain YAML 1.2."""
    if not text.strip():
        return None
    return _plain(
        _load(
            text,
            lambda line: where,
            "write the value as in the file, like 64, [a, b] or {min: 0, max: 1}; quote it for the shell",
        ),
        (),
        {},
        where,
    )


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.version = (1, 2)
    return yaml


def _load(text: str, place: Any, fix: str) -> Any:
    try:
        for line, problem, remedy in _refused(text):
            raise InputError(place(line), problem, remedy)
        return _yaml().load(io.StringIO(text))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join((getattr(error, "problem", None) or str(error)).split())
        raise InputError(place(mark.line + 1 if mark else None), problem, fix) from error


def _refused(text: str) -> Iterator[tuple[int, str, str]]:
    """Tags, merge keys and excessive nesting, found in the parser's events, before any value is built."""
    depth = 0
    for event in _yaml().parse(io.StringIO(text)):
        line, kind = event.start_mark.line + 1, type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > _DEEPEST + 2:  # the stream and its document count too
            yield line, f"is nested deeper than {_DEEPEST} levels", "close the brackets; a sweep config has few levels"
        elif getattr(event, "tag", None) is not None and kind != "DocumentStartEvent":
            yield line, f"the tag {event.tag} is not read", "write the plain value"
        elif kind == "ScalarEvent" and event.value == "<<" and event.style is None:
            yield line, "merge keys (<<) are not read", "write the keys out, or --set what differs"
        elif kind == "ScalarEvent" and event.style is None and _OF_YAML_1_1.fullmatch(event.value):
            yield line, f"{event.value} is a number in YAML 1.1 alone", _plain_number(event.value)


def _plain_number(text: str) -> str:
    """What to write instead of a number of YAML 1.1."""
    digits = text.replace("_", "")
    number = str(int(digits, 2)) if "0b" in digits else digits
    return f'write {number}, or "{text}" in quotes if it is text'


def _plain(node: Any, loc: tuple, origins: dict[tuple, Origin], where: str) -> Any:
    """Plain values instead of ruamel's round-trip types, which records cannot hold; notes the line of each."""
    if len(loc) > _DEEPEST or len(origins) > _MOST_VALUES:
        raise InputError(where, "aliases expand without end", "write the values out")
    if isinstance(node, dict):
        return {str(key): _noted(node, key, (*loc, str(key)), value, origins, where) for key, value in node.items()}
    if isinstance(node, list):
        return [_noted(node, index, (*loc, index), value, origins, where) for index, value in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _noted(parent: Any, key: Any, loc: tuple, value: Any, origins: dict[tuple, Origin], where: str) -> Any:
    origins[loc] = Origin(parent.lc.data[key][0] + 1)
    return _plain(value, loc, origins, where)


def flat(tree: Mapping[str, Any], prefix: str = "", loc: tuple = ()) -> Iterator[tuple[str, tuple, Any]]:
    """Dotted key, path in the tree and value: {'data': {'image_px': 64}} and {'data.image_px': 64} both give data.image_px.

    A searched hyperparameter is one value.
    """
    for key, value in tree.items():
        name, place = f"{prefix}{key}", (*loc, key)
        if isinstance(value, dict) and not name.startswith("search."):
            yield from flat(value, f"{name}.", place)
        else:
            yield name, place, value
