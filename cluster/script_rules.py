"""Slurm scripts and Dockerfiles: a time limit, a token, the lock's versions, packages by hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cluster.versions import Versions, image_problem
from sweep.core.errors import InputError

_LONGEST_HOURS = 7 * 24
_SLURM_NEEDS = {  # pattern: what is wrong without it, and the fix
    r"^#!.*\bbash": ("has no #! line for bash", "begin with #!/usr/bin/env bash"),
    r"^set -euo pipefail": ("goes on after an error", "add: set -euo pipefail"),
    r"^#SBATCH --requeue": ("does not come back after a preemption", "add: #SBATCH --requeue"),
    r"RAY_AUTH_MODE=token": ("starts Ray without token authentication", "add: export RAY_AUTH_MODE=token"),
    r"symmetric-run.*--address": (
        "does not start Ray on every node",
        "use: srun ray symmetric-run --address ... -- ...",
    ),
    r"sweep\.run .*--storage": ("keeps results on one node", "give sweep.run a --storage on the shared file system"),
}


def slurm_rules(path: Path, text: str, versions: Versions) -> Iterator[InputError]:
    """Violations in a Slurm script."""
    joined = re.sub(r"\\\n\s*", "", text)
    for pattern, (problem, fix) in _SLURM_NEEDS.items():
        if not re.search(pattern, joined, re.MULTILINE):
            yield InputError("line 1", problem, fix)
    hours = _slurm_hours(text)
    if hours is None or not 0 < hours <= _LONGEST_HOURS:
        yield InputError(_line(text, "--time"), "has no time limit within a week", "add: #SBATCH --time=24:00:00")


def docker_rules(path: Path, text: str, versions: Versions) -> Iterator[InputError]:
    """Violations in a Dockerfile."""
    bases = re.findall(r"^FROM\s+(?:--\S+\s+)*(\S+)", text, re.MULTILINE)
    if not bases:
        yield InputError("line 1", "has no FROM", "build on Ray's own image")
    for base in bases:
        found = image_problem(base, versions)
        if found:
            yield InputError(_line(text, base), *found)
    if not re.search(r"pip install .*--require-hashes .*requirements\.lock", text):
        yield InputError(
            _line(text, "pip install"),
            "packages are not those of requirements.lock, compared by hash",
            "install with --no-deps --require-hashes -r requirements.lock",
        )
    users = re.findall(r"^USER\s+(\S+)", text, re.MULTILINE)
    if not users or users[-1] in ("root", "0"):
        yield InputError(_line(text, "USER root"), "runs as root", "end with: USER ray")
    if re.search(r"(?im)^(ARG|ENV)\s+\w*(TOKEN|SECRET|PASSWORD|ACCESS_KEY)\w*[= ]\S", text):
        yield InputError("line 1", "a secret becomes part of the image", "give it when the container starts")


def _slurm_hours(text: str) -> float | None:
    """Hours of --time in Slurm's forms MM, MM:SS, HH:MM:SS, D-HH[:MM[:SS]]."""
    found = re.search(r"^#SBATCH\s+(?:--time[= ]|-t\s*)(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?\s*$", text, re.MULTILINE)
    if not found:
        return None
    days, first, second, third = found.groups()
    if days:
        return int(days) * 24 + int(first) + int(second or 0) / 60
    return int(first) + int(second) / 60 if third else int(first) / 60


def _line(text: str, part: str) -> str:
    return next((f"line {number}" for number, line in enumerate(text.splitlines(), 1) if part in line), "line 1")
