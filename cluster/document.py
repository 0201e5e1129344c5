"""YAML text -> values with the line of every key, read the way Ray and Kubernetes read it (YAML 1.1, merge keys)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sweep.core.errors import InputError

Place = tuple[str | int, ...]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the compiled one reads ten times faster, where it was built


@dataclass(frozen=True)
class Document:
    """One document of a file: its values, and the line (from 1) of every place in it."""

    path: Path
    tree: dict[str, Any]
    lines: Mapping[Place, int]

    def at(self, place: Place) -> Any:
        """The value at a place, None when there is none."""
        node: Any = self.tree
        for step in place:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def section(self, place: Place) -> dict[str, Any]:
        """The mapping at a place; empty when something else stands there, which the schema complains about."""
        value = self.at(place)
        return value if isinstance(value, dict) else {}

    def items(self, place: Place) -> list[Any]:
        """The list at a place; empty when something else stands there."""
        value = self.at(place)
        return value if isinstance(value, list) else []

    def sections(self, place: Place) -> list[tuple[Place, dict[str, Any]]]:
        """The mappings in the list at a place, each with its own place; the schema complains about anything else there."""
        return [((*place, index), item) for index, item in enumerate(self.items(place)) if isinstance(item, dict)]

    def violation(self, place: Place, problem: str, fix: str) -> InputError:
        """A mistake at a place, with the line of the nearest part of it that exists."""
        line = next((self.lines[place[:depth]] for depth in range(len(place), 0, -1) if place[:depth] in self.lines), 1)
        return InputError(f"line {line}, {dotted(place)}" if place else f"line {line}", problem, fix)

    def scalars(self) -> Iterator[tuple[Place, Any]]:
        """Every value that is neither mapping nor list, with its place."""
        yield from _scalars(self.tree, ())


def read_documents(path: Path) -> list[Document]:
    """The documents of a YAML file.

    Raises InputError when it is absent, is not YAML, repeats a key, or holds something other than mappings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", "give the path of a UTF-8 text file") from None
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_LOADER) if node is not None]
        _refuse_repeated_keys(path, nodes)
        lines = [
            dict(_lines(node, ())) for node in nodes
        ]  # before the values are made, which resolves merge keys in place
        trees = [yaml.constructor.SafeConstructor().construct_document(node) for node in nodes]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise InputError(
            where, getattr(error, "problem", None) or "not YAML", "correct the indentation and the brackets"
        ) from None
    if not trees or not all(isinstance(tree, dict) for tree in trees):
        raise InputError(path, "holds no keys", "start from one of the files in cluster/")
    return [Document(path, tree, places) for tree, places in zip(trees, lines, strict=True)]


def dotted(place: Place) -> str:
    """('spec', 'groups', 0, 'name') as spec.groups[0].name."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    """Lines of every place; what a merge key brings in keeps the line it was written on."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _lines(merged, place)
                continue
            inner = (*place, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines(value, (*place, index))


def _refuse_repeated_keys(path: Path, nodes: list[yaml.Node]) -> None:
    """Raise InputErrors for repeated keys, of which YAML readers silently keep the last."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, yaml.SequenceNode):
            stack += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                stack.append(value)
                name = str(key.value)
                if name in seen and name != "<<":
                    raise InputError(
                        f"{path}:{key.start_mark.line + 1}", f"{name} is written twice", "keep one of the two"
                    )
                seen.add(name)


def _scalars(node: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _scalars(value, (*place, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _scalars(value, (*place, index))
    else:
        yield place, node
