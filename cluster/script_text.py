"""What Slurm scripts, SkyPilot files and Dockerfiles share: lines, variables, packages by hash, a sweep with shared storage."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from cluster.shell_rules import Finding, sweep_option_findings, turns_token_on, without_comments

_LOCK = "install with --no-deps --require-hashes -r requirements.lock"
_ASSIGNED = re.compile(
    r"(?:^|[\s;(])(?:export\s+|local\s+|read\s+(?:-\w+\s+)*|for\s+)?([A-Za-z_]\w*)=|for\s+([A-Za-z_]\w*)\s+in"
)
_USED = re.compile(r"(?<!\\)\$\{?([A-Za-z_]\w*)")


def line_of(text: str, part: str) -> str:
    """'line N' of the first line that holds a part, line 1 where none does."""
    return next((f"line {number}" for number, line in enumerate(text.splitlines(), 1) if part in line), "line 1")


def unknown_variables(text: str, known: Iterable[str]) -> Iterator[str]:
    """Variables that are read and neither assigned in the text nor among the known ones."""
    code = without_comments(text)
    assigned = {name for pair in _ASSIGNED.findall(code) for name in pair if name} | set(known)
    yield from sorted(set(_USED.findall(code)) - assigned)


def package_findings(text: str) -> Iterator[Finding]:
    """Packages that are installed otherwise than from the lock, compared by hash."""
    commands = [line for line in without_comments(text).splitlines() if re.search(r"\bpip3?\s+install\b", line)]
    for command in commands:
        if not all(re.search(part, command) for part in (r"\s--require-hashes\b", r"\s-r\s+\S*requirements\.lock\b")):
            yield "packages are not those of requirements.lock, compared by hash", _LOCK
        elif not re.search(r"\s--no-deps\b", command):
            yield "packages that the lock overrides are resolved anew", _LOCK
    if not commands:
        yield "packages are not those of requirements.lock, compared by hash", _LOCK


def sweep_script_findings(text: str) -> Iterator[Finding]:
    """A script that runs a sweep: it stops at errors, has the token on, and gives sweep.run its storage and address."""
    code = without_comments(text)
    if not re.search(r"^\s*set -euo pipefail\s*$", code, re.MULTILINE):
        yield "goes on after an error", "add: set -euo pipefail"
    if not turns_token_on(text):
        yield "starts Ray without token authentication", "add: export RAY_AUTH_MODE=token"
    line = next((line for line in code.splitlines() if re.search(r"-m\s+sweep\.run\b", line)), None)
    if line is None:
        yield "runs no sweep", "run: python -m sweep.run CONFIG --storage URL --address HEAD:6379"
        return
    try:
        words = shlex.split(line)
    except ValueError:
        return  # an unclosed quotation mark, which shell_findings names
    yield from sweep_option_findings(words)
    options = {word.partition("=")[0] for word in words[words.index("sweep.run") :]} if "sweep.run" in words else set()
    if "--storage" not in options:
        yield "keeps results on one node", "give sweep.run a --storage that every node reaches"
    if "--address" not in options:
        yield "starts a second Ray, on one node", 'give sweep.run the head: --address "$head"'
