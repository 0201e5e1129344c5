"""Dockerfiles: the lock's versions and packages, no code but this project's, an unprivileged user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cluster.script_text import package_findings
from cluster.secret_shapes import is_secret_name, secrets_in_lines
from cluster.shell_rules import shell_findings
from cluster.versions import LOCK, ROOT, Versions, image_problem, is_checkout
from sweep.core.errors import InputError, suggestion

_INSTRUCTIONS = (
    "FROM",
    "RUN",
    "COPY",
    "ENV",
    "USER",
    "WORKDIR",
    "ARG",
    "LABEL",
    "ENTRYPOINT",
    "CMD",
    "SHELL",
    "HEALTHCHECK",
)
_CODE = ("recipe_finder", "sweep", "analysis", "cluster", "search_spaces")
_USERS = re.compile(r"(ray|1000)(:(users|100))?")
_FLAGS = {"COPY": r"--(chown=\S+|chmod=\S+|from=\S+)", "FROM": r"--platform=\S+", "RUN": r"--mount=\S+"}
_NAMED_VALUES = re.compile(r"\w+=(\"[^\"]*\"|'[^']*'|\S+)(\s+\w+=(\"[^\"]*\"|'[^']*'|\S+))*")


def docker_rules(path: Path, text: str, versions: Versions) -> Iterator[InputError]:
    """Violations in a Dockerfile."""
    rows = list(_instructions(text))
    by_name: dict[str, list[tuple[int, str]]] = {}
    for number, name, rest in rows:
        by_name.setdefault(name, []).append((number, rest))
        yield from _instruction(number, name, rest)
    yield from _base(by_name.get("FROM", []), versions)
    runs = "\n".join(rest for _, rest in by_name.get("RUN", []))
    for problem, fix in package_findings(runs):
        yield InputError(f"line {(by_name.get('RUN') or [(1, '')])[0][0]}", problem, fix)
    yield from _code(rows)
    users = by_name.get("USER", [])
    if not users or not _USERS.fullmatch(users[-1][1]):
        line = users[-1][0] if users else 1
        yield InputError(
            f"line {line}", "runs as root, or as a user that the image does not have", "end with: USER ray"
        )
    yield from secrets_in_lines(text)


def _instruction(number: int, name: str, rest: str) -> Iterator[InputError]:
    where = f"line {number}"
    if name not in _INSTRUCTIONS:
        yield InputError(where, f"{name} is no instruction that the image needs", suggestion(name, _INSTRUCTIONS))
        return
    if not rest:
        yield InputError(where, f"{name} says nothing", "complete it, or leave it out")
    for flag in re.findall(r"(?:^|(?<=\s))--[\w=:.,/-]+", rest) if name in _FLAGS else ():
        if name != "RUN" and not re.fullmatch(_FLAGS[name], flag):
            yield InputError(where, f"{name} has no flag {flag}", f"write it like {_FLAGS[name]}")
        if flag.startswith("--chown=") and not _USERS.fullmatch(flag.removeprefix("--chown=")):
            yield InputError(where, f"{flag} is no user of the image", "write --chown=ray:users")
    for problem, fix in shell_findings(rest) if name in ("RUN", "ENV", "CMD", "ENTRYPOINT", "ARG") else ():
        yield InputError(where, problem, fix)
    if name == "ENV" and not _NAMED_VALUES.fullmatch(rest):
        yield InputError(where, f"{rest!r} is not NAME=VALUE", "write ENV NAME=VALUE")
    named = re.findall(r"(\w+)(?:=|\s|$)", rest) if name in ("ENV", "ARG") else ()
    if any(map(is_secret_name, named)):
        yield InputError(where, "a secret becomes part of the image", "give it when the container starts")


def _base(bases: list[tuple[int, str]], versions: Versions) -> Iterator[InputError]:
    if not bases:
        yield InputError("line 1", "has no FROM", "build on Ray's own image")
    for number, rest in bases:
        image, *more = [word for word in rest.split() if not word.startswith("--")] or [""]
        if more and (len(more) != 2 or more[0].upper() != "AS"):
            yield InputError(
                f"line {number}", f"{' '.join(more)} behind the image", "write FROM IMAGE, or FROM IMAGE AS NAME"
            )
        found = image_problem(image, versions)
        if found:
            yield InputError(f"line {number}", *found)
        elif not image.rpartition("/")[0].endswith("rayproject"):
            yield InputError(f"line {number}", f"{image} is not Ray's own image", "build on rayproject/ray")


def _code(rows: list[tuple[int, str, str]]) -> Iterator[InputError]:
    """The lock is there before it is read, every package is copied to where Python looks, nothing else is."""
    copied: dict[str, int] = {}
    folder, folder_line = "", 1
    for number, name, rest in rows:
        if name == "WORKDIR":
            folder, folder_line = rest, number
        if name != "COPY":
            continue
        *sources, target = [word for word in rest.split() if not word.startswith("--")] or [""]
        for source in sources:
            copied[source] = number
            if source in (".", "./", "*"):
                yield InputError(f"line {number}", "copies everything, data and credentials too", "name the packages")
            elif is_checkout() and not (ROOT / source).exists():
                yield InputError(
                    f"line {number}", f"{source} is not in the checkout", suggestion(source, (*_CODE, LOCK))
                )
            elif source in _CODE and target.rstrip("/") not in (source, f"./{source}"):
                yield InputError(f"line {number}", f"{source} is copied to {target}", f"write: COPY {source} {source}")
            elif source == LOCK and target not in ("./", ".", LOCK, f"./{LOCK}"):
                yield InputError(f"line {number}", f"{source} is copied to {target}", f"write: COPY {source} ./")
    for name in (LOCK, *_CODE):
        if name not in copied:
            yield InputError("line 1", f"the image will hold no {name}", f"add: COPY {name} {name}")
    installs = next((number for number, name, rest in rows if name == "RUN" and LOCK in rest), None)
    if installs and copied.get(LOCK, 0) > installs:
        yield InputError(f"line {installs}", f"{LOCK} is not there yet", "copy it first")
    paths = re.findall(r"\bPYTHONPATH=(\S+)", " ".join(rest for _, name, rest in rows if name == "ENV"))
    if not folder.startswith("/") or paths[-1:] != [folder]:
        yield InputError(
            f"line {folder_line}",
            f"Python looks in {paths[-1] if paths else 'nothing'}, the code lies in {folder or 'nothing'}",
            "set WORKDIR, and PYTHONPATH to the same folder",
        )


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, instruction in capitals, and the rest with continued lines joined."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        start, line = number + 1, lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + " " + lines[number].strip()
            number += 1
        name, _, rest = line.partition(" ")
        yield start, name.upper(), rest.strip()
