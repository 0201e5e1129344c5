"""sweep config file -> SweepConfig: read as YAML 1.2 and checked; all violations are reported at once, each with its line and fix."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sweep.config.checks import violations
from sweep.config.shipped import find_config
from sweep.config.sweep_config import MEMORY_PATTERN, NAME_PATTERN, SweepConfig
from sweep.config.yaml_source import Origin, Written, flat, read_file, read_value
from sweep.core.errors import InputError, InputErrors, suggestion

_BRANCHES = {
    "bool": "true or false",
    "int": "a whole number",
    "constrained-int": "a whole number",
    "float": "a number",
    "str": "text",
    "literal['all']": "all",
    "literal['none','sealed','all']": "none, sealed, all",
}  # pydantic names the branch of a union it tried
_MAX_PASSES = 50  # each pass removes at least one invalid key
_STAND_INS = {
    "name": "stand-in",
    "data": {"source": "phantom-a", "target": "phantom-b"},
    "source": "phantom-a",
    "target": "phantom-b",
    "metric": "auroc/target",
    "goal": "maximize",
}
_NO_FIT = {  # what to give instead, by pydantic's name of the mistake
    "int_type": "give a whole number",
    "float_type": "give a number",
    "finite_number": "give a finite number",
    "bool_type": "give true or false",
    "string_type": "give text",
    "list_type": "give a list, like [a, b]",
    "too_short": "list at least one",
    "string_too_short": "give a name",
}
_PATTERNS = {
    NAME_PATTERN: "start with a lower-case letter or digit; then those, - and _, at most 63 in all",
    MEMORY_PATTERN: "write it like 500MB or 4GB",
}


def load_config(path: str | Path, overrides: Mapping[str, str] | None = None, smoke: bool = False) -> SweepConfig:
    """Read and check a sweep config, a file or the name of a shipped one; `overrides` are the --set pairs, `smoke` applies the file's smoke section.

    Raises InputErrors with all mistakes at once, each with its line; those of the smoke section too where it is not asked for.
    """
    path = find_config(path)
    written = _written(path, overrides, smoke)
    sweep_config, errors = _checked(written, path)
    if not smoke and not overrides and not errors and written.tree.get("smoke") is not None:
        errors = _checked(_smoked(written, path), path)[1]
        errors = [
            one if "smoke" in one.where else InputError(f"{one.where} with --smoke", one.problem, one.fix)
            for one in errors
        ]
    if errors:
        raise InputErrors(path, sorted(errors, key=_line_of))
    return sweep_config


def places(path: str | Path, overrides: Mapping[str, str] | None = None, smoke: bool = False) -> Callable[[tuple], str]:
    """For checks after loading: a function from the path of a value, like ("fixed", "weights"), to its place, like `line 7, fixed.weights`."""
    return _written(find_config(path), overrides, smoke).where


def name_of(path: str | Path, overrides: Mapping[str, str] | None = None, smoke: bool = False) -> str | None:
    """The name in a sweep config before anything is checked, in milliseconds; None where it has none.

    Raises InputError where the file cannot be read as YAML.
    """
    name = _written(find_config(path), overrides, smoke).tree.get("name")
    return name if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name) else None


def _written(path: Path, overrides: Mapping[str, str] | None, smoke: bool) -> Written:
    written = read_file(path)
    if smoke:
        written = _smoked(written, path)
    for key, text in (overrides or {}).items():
        written.set(key, read_value(text, f"--set {key}"), Origin(option=True))
    return written


def _smoked(written: Written, path: Path) -> Written:
    """The sweep config with its smoke section applied. Raises InputError where it has none."""
    changes = written.tree.get("smoke")
    fix = "write the sizes that make it small, like smoke: {data.image_px: 32, fixed.epochs: 1}"
    if changes is None:
        raise InputError(path, "has no smoke section, so --smoke would run it at full size", fix)
    if not isinstance(changes, dict):
        raise InputErrors(path, [InputError(written.where(("smoke",)), f"{changes!r} is not a section", fix)])
    small = written.copy()
    for key, place, value in flat(changes):
        line = written.origins.get(("smoke", *place), Origin()).line
        small.set(key, copy.deepcopy(value), Origin(line, smoke=True))
    small.tree["name"] = f"{written.tree.get('name')}-smoke"
    return small


def _line_of(error: InputError) -> int:
    first = error.where.split(",")[0]
    return int(first.removeprefix("line ")) if first.startswith("line ") else 0


def _checked(written: Written, path: Path) -> tuple[SweepConfig, list[InputError]]:
    """The sweep config and its violations; what the schema refuses is removed, so that the rest is checked in the same run."""
    errors: list[InputError] = []
    incomplete: set[str] = set()  # sections from which something was removed
    sound = copy.deepcopy(written.tree)
    for _ in range(_MAX_PASSES):
        try:
            sweep_config = SweepConfig.model_validate(sound)
        except ValidationError as error:
            errors += _violations(error.errors(), written)
            places = [(_loc(item["loc"]), item["type"] == "missing") for item in error.errors()]
            for loc, missing in places:
                _leave_out(sound, loc, missing)
            incomplete |= {str(loc[0]) for loc, _ in places if loc}
            continue
        found = violations(sweep_config, frozenset(incomplete))
        return sweep_config, _dedupe(errors) + [
            InputError(written.where(loc), problem, fix) for loc, problem, fix in found
        ]
    raise InputErrors(path, _dedupe(errors))


def _loc(loc: tuple) -> tuple:
    """The place without the branches of a union."""
    return tuple(part for part in loc if part not in _BRANCHES)


def _leave_out(tree: Any, loc: tuple, missing: bool) -> None:
    """Remove the value that a violation names, or replace it by a placeholder where it is required."""
    steps = list(loc[:2] if loc[0] == "search" else loc)  # a distribution without one of its keys would be another one
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


def _violations(items: list[Any], written: Written) -> list[InputError]:
    """One violation per place: pydantic reports a value that fits no branch of a union once per branch."""
    places: dict[tuple, list[Mapping[str, Any]]] = {}
    for item in items:
        places.setdefault(_loc(item["loc"]), []).append(item)
    return [_violation(loc, _most_specific(found), found, written.where(loc)) for loc, found in places.items()]


def _most_specific(found: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The branch that accepts the type and refuses the value, where there is one."""
    return next((item for item in found if not item["type"].endswith(("_type", "literal_error"))), found[0])


def _violation(loc: tuple, item: Mapping[str, Any], found: list[Mapping[str, Any]], where: str) -> InputError:
    value, kind = item.get("input"), item["type"]
    if kind == "extra_forbidden":
        return InputError(where, "unknown key", suggestion(str(loc[-1]), _fields_at(loc[:-1])))
    if kind == "missing":
        return InputError(where, "is missing", "add it")
    if kind == "value_error":
        problem, _, fix = str(item["ctx"]["error"]).rpartition("; ")
        return InputError(where, problem, fix)
    if kind in ("model_type", "dict_type"):
        return InputError(
            where, f"{value!r} is not a section", "write its keys under it, as in search_spaces/quickstart.yaml"
        )
    branches = [_BRANCHES[part] for one in found for part in one["loc"] if part in _BRANCHES]
    if branches and kind.endswith(("_type", "literal_error")):
        return InputError(
            where,
            f"{value!r} does not fit",
            f"give {', '.join(branches[:-1])} or {branches[-1]}" if branches[1:] else f"give {branches[0]}",
        )
    if kind == "literal_error":
        return InputError(where, f"{value!r} is not offered", f"choose {item['ctx']['expected']}")
    usual = item["msg"][0].lower() + item["msg"][1:]
    fix = _PATTERNS[item["ctx"]["pattern"]] if kind == "string_pattern_mismatch" else _NO_FIT.get(kind, usual)
    return InputError(where, f"{value!r} does not fit", fix)


def _fields_at(loc: tuple) -> list[str]:
    model: Any = SweepConfig
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        annotation = field.annotation if field else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next(
            (kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)),
            model if field is None else None,
        )
    return list(model.model_fields) if model is not None and hasattr(model, "model_fields") else []


def _dedupe(errors: list[InputError]) -> list[InputError]:
    return list({error.where: error for error in reversed(errors)}.values())[::-1]
