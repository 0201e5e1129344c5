"""question file -> Question: read as YAML 1.2, checked whole, every mistake with its line and cure.

python -m sweep.space search_spaces/ratio.yaml        # check only
python -m sweep.space --schema > question.schema.json # for editors

Plain YAML 1.1 reads `1:2` as 62 and `1e-4` as text; a ratio sweep would meet both.
"""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sweep.core.errors import InputError, InputErrors, guarded, suggestion
from sweep.question import Question, schema
from sweep.question_checks import complaints

_SCALAR_TAGS = ("bool", "int", "float", "str")  # pydantic names the branch of a union it tried
_MAX_PASSES = 50  # each pass leaves out at least one wrong key
_STAND_INS = {"name": "stand-in", "data": {"source": "phantom-a", "target": "phantom-b"}, "source": "phantom-a", "target": "phantom-b", "metric": "auroc/target", "goal": "maximize"}


def load_question(path: str | Path, overrides: Mapping[str, str] | None = None, smoke: bool = False) -> Question:
    """Read and check a question file; `overrides` are the --set pairs, `smoke` applies the file's smoke section.

    Raises InputErrors with all mistakes at once, each with its line.
    """
    path = Path(path)
    tree = _parse(path)
    lines = _line_numbers(tree)
    plain = _plain(tree)
    if smoke:
        name = plain.get("name")
        for key, value in _flat(plain.get("smoke") or {}).items():
            _set(plain, key, value, f"{path}: smoke.{key}")
        plain["name"] = f"{name}-smoke"
    for key, text in (overrides or {}).items():
        _set(plain, key, _plain(_yaml().load(text)) if text.strip() else None, f"--set {key}")
    question, errors = _validate(plain, path, lines)
    errors += [InputError(_where(path, loc, lines), problem, cure) for loc, problem, cure in complaints(question)]
    if errors:
        raise InputErrors(path, sorted(errors, key=_line_of))
    return question


def _line_of(error: InputError) -> int:
    first = error.where.split(",")[0]
    return int(first.removeprefix("line ")) if first.startswith("line ") else 0


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.version = (1, 2)
    return yaml


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = sorted(str(other) for other in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise InputError(path, "no such file", f"files there: {', '.join(near)}" if near else "give the path of a question file") from error
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", "give a UTF-8 text file") from error
    try:
        tree = _yaml().load(io.StringIO(text))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = " ".join((getattr(error, "problem", None) or str(error)).split())
        raise InputError(place, problem, "write each key once, with consistent indentation") from error
    if not isinstance(tree, dict):
        raise InputError(path, "holds no keys", "start it with name: and data:")
    return tree


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):  # ruamel's scalars remember their notation; records want plain ones
        if isinstance(node, kind):
            return kind(node)
    return node


def _line_numbers(node: Any, prefix: tuple = ()) -> dict[tuple, int]:
    lines: dict[tuple, int] = {}
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        place = (*prefix, key)
        lines[place] = node.lc.data[key][0] + 1
        lines |= _line_numbers(value, place)
    return lines


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'data': {'image_px': 64}} and {'data.image_px': 64} both become {'data.image_px': 64}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and not (prefix + key).startswith("search."):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _set(tree: dict[str, Any], key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise InputError(where, f"{parent} is not a section", "name a key that lies in a section, like data.image_px")
    tree[last] = value


def _validate(plain: dict[str, Any], path: Path, lines: dict[tuple, int]) -> tuple[Question, list[InputError]]:
    """The question, and the complaints of its schema; what is wrong is left out, so that the rest can be checked too."""
    complaints: list[InputError] = []
    sound = copy.deepcopy(plain)
    for _ in range(_MAX_PASSES):
        try:
            return Question.model_validate(sound), _dedupe(complaints)
        except ValidationError as error:
            complaints += [_complaint(item, path, lines) for item in error.errors()]
            for item in error.errors():
                _leave_out(sound, item["loc"], missing=item["type"] == "missing")
    raise InputErrors(path, _dedupe(complaints))


def _leave_out(tree: Any, loc: tuple, missing: bool) -> None:
    """Drop what a complaint points at, or put a stand-in where something required is missing or wrong."""
    steps = [part for part in loc if part not in _SCALAR_TAGS]
    for part in steps[:-1]:
        inner = tree[part] if isinstance(tree, list) or part in tree else None
        if not isinstance(inner, (dict, list)):
            steps = steps[: steps.index(part) + 1]
            break
        tree = inner
    last = steps[-1]
    if last in _STAND_INS and (missing or tree.get(last) is not _STAND_INS[last]):
        tree[last] = _STAND_INS[last]
    elif isinstance(tree, list):
        tree[last] = None if tree[last] is not None else {"metric": "auroc/target", "goal": "maximize"}
    else:
        tree.pop(last, None)


def _complaint(item: Mapping[str, Any], path: Path, lines: dict[tuple, int]) -> InputError:
    loc = tuple(part for part in item["loc"] if part not in _SCALAR_TAGS)
    where = _where(path, loc, lines)
    value, kind = item.get("input"), item["type"]
    if kind == "extra_forbidden":
        return InputError(where, "unknown key", suggestion(str(loc[-1]), _fields_at(loc[:-1])))
    if kind == "missing":
        return InputError(where, "is missing", "add it")
    if kind == "value_error":
        problem, _, cure = str(item["ctx"]["error"]).rpartition("; ")
        return InputError(where, problem, cure)
    if kind in ("model_type", "dict_type"):
        return InputError(where, f"{value!r} is not a section", "write its keys under it, as in search_spaces/quickstart.yaml")
    if kind == "string_pattern_mismatch":
        return InputError(where, f"{value!r} does not fit", "start with a lower-case letter or digit; then those, - and _, at most 63 in all")
    if kind == "literal_error":
        return InputError(where, f"{value!r} is not offered", f"choose {item['ctx']['expected']}")
    return InputError(where, f"{value!r} does not fit", item["msg"][0].lower() + item["msg"][1:])


def _where(path: Path, loc: tuple, lines: dict[tuple, int]) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    known = next((lines[loc[:depth]] for depth in range(len(loc), 0, -1) if loc[:depth] in lines), None)
    return f"line {known}, {dotted}" if known else dotted


def _fields_at(loc: tuple) -> list[str]:
    model: Any = Question
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        annotation = field.annotation if field else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), model if field is None else None)
    return list(model.model_fields) if model is not None and hasattr(model, "model_fields") else []


def _dedupe(errors: list[InputError]) -> list[InputError]:
    return list({error.where: error for error in reversed(errors)}.values())[::-1]


def _main(arguments: list[str]) -> int:
    if arguments == ["--schema"]:
        print(json.dumps(schema(), indent=2))
        return 0
    if not arguments:
        raise InputError("python -m sweep.space", "no file given", "give question files, or --schema")
    for argument in arguments:
        question = load_question(argument)
        print(f"{argument}: {question.name}, no mistakes")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: _main(sys.argv[1:])))
