"""Slurm scripts: known options, a time limit, the token, Ray on every node, storage that all nodes share."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from cluster.launcher_rules import MOST_WORKERS
from cluster.script_text import line_of, sweep_script_findings, unknown_variables
from cluster.secret_shapes import secrets_in_lines
from cluster.shell_rules import shell_findings, without_comments
from cluster.versions import Versions
from sweep.core.errors import InputError, suggestion

_LONGEST_HOURS = 7 * 24
_TEXT, _NUMBER, _FLAG = r"[^\s;|&`$()<>]+", r"[1-9]\d*", r""
_OPTIONS = {  # of sbatch: what a value must look like, empty where none follows
    **dict.fromkeys(
        ("account", "partition", "qos", "job-name", "constraint", "reservation", "comment", "licenses"), _TEXT
    ),
    **dict.fromkeys(("output", "error", "chdir", "nodelist", "exclude", "dependency", "begin", "mail-user"), _TEXT),
    **dict.fromkeys(("mail-type", "clusters", "prefer", "wckey"), _TEXT),
    **dict.fromkeys(("ntasks", "ntasks-per-node", "cpus-per-task", "cpus-per-gpu"), _NUMBER),
    **dict.fromkeys(("exclusive", "requeue"), _FLAG),
    **dict.fromkeys(("gpus", "gpus-per-node", "gpus-per-task"), r"(\w+:)?[1-9]\d*"),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu", "tmp"), r"\d+[KMGT]?"),
    **dict.fromkeys(("time", "time-min"), r"(\d+-)?\d+(:\d+){0,2}"),
    "nodes": r"[1-9]\d*(-[1-9]\d*)?",
    "gres": r"gpu(:\w+)?(:[1-9]\d*)?",
    "signal": r"([BR]:)?(\w+)(@\d+)?",
    "nice": r"\d+",
    "open-mode": r"append|truncate",
    "hint": r"compute_bound|memory_bound|nomultithread|multithread",
}
_SHORT = {
    "-t": "time",
    "-N": "nodes",
    "-n": "ntasks",
    "-J": "job-name",
    "-p": "partition",
    "-A": "account",
    "-o": "output",
}
_SHORT |= {"-e": "error", "-c": "cpus-per-task", "-q": "qos", "-C": "constraint", "-w": "nodelist", "-x": "exclude"}
_NEEDED = {  # option: why, and what to write
    "requeue": ("does not come back after a preemption", "add: #SBATCH --requeue"),
    "nodes": ("names no number of nodes", "add: #SBATCH --nodes=2"),
    "ntasks-per-node": ("may start Ray twice on a node", "add: #SBATCH --ntasks-per-node=1"),
    "exclusive": ("shares nodes, where two Rays take each other's ports", "add: #SBATCH --exclusive"),
    "cpus-per-task": ("leaves Ray one CPU a node", "add: #SBATCH --cpus-per-task=8"),
    "gpus-per-node": ("has no GPU", "add: #SBATCH --gpus-per-node=1"),
}
_VARIABLES = {  # set by Slurm, the shell or the user's environment
    *(
        "SLURM_JOB_NODELIST",
        "SLURM_JOB_NUM_NODES",
        "SLURM_CPUS_PER_TASK",
        "SLURM_JOB_ID",
        "SLURM_NTASKS",
        "SLURM_SUBMIT_DIR",
    ),
    *("SLURM_GPUS_ON_NODE", "SLURM_NODEID", "SLURM_PROCID", "SLURM_TMPDIR", "SLURM_JOB_NAME", "SLURM_LOCALID"),
    *("HOME", "USER", "PATH", "PWD", "TMPDIR", "HOSTNAME", "RAY_AUTH_TOKEN_PATH", "SCRATCH", "WORK"),
}
_RAY_OPTIONS = (
    "--address",
    "--min-nodes",
    "--num-cpus",
    "--num-gpus",
    "--memory",
    "--object-store-memory",
    "--resources",
)
_SRUN_OPTIONS = (
    *(
        "--kill-on-bad-exit",
        "--nodes",
        "--ntasks",
        "--ntasks-per-node",
        "--cpus-per-task",
        "--gpus-per-node",
        "--exact",
    ),
    *("--export", "--label", "--output", "--error", "--unbuffered", "--time", "--mem", "--overlap"),
)


def slurm_rules(path: Path, text: str, versions: Versions) -> Iterator[InputError]:
    """Violations in a Slurm script."""
    if not re.match(r"#!.*\bbash\b", text):
        yield InputError("line 1", "has no #! line for bash", "begin with #!/usr/bin/env bash")
    yield from _directives(text)
    for problem, fix in (*sweep_script_findings(text), *shell_findings(text), *_start_findings(text)):
        yield InputError(line_of(text, "sweep.run"), problem, fix)
    for name in unknown_variables(text, _VARIABLES):
        yield InputError(line_of(text, name), f"${name} is never set", suggestion(name, _VARIABLES))
    yield from secrets_in_lines(text)


def _directives(text: str) -> Iterator[InputError]:
    given: dict[str, str] = {}
    body = False
    for number, line in enumerate(text.splitlines(), 1):
        where = f"line {number}"
        if not line.startswith("#SBATCH "):
            body = body or bool(line.strip() and not line.startswith("#"))
            word = line.split(" ")[0]
            if " -" in line and line.startswith("#") and difflib.SequenceMatcher(None, word, "#SBATCH").ratio() > 0.7:
                yield InputError(where, f"{word} makes it a comment", "begin the line with #SBATCH")
            continue
        if body:
            yield InputError(where, "stands behind the first command, where Slurm no longer reads it", "move it up")
        option, value = _parsed(line.removeprefix("#SBATCH ").strip())
        if option not in _OPTIONS:
            yield InputError(where, f"{option}: unknown option of sbatch", suggestion(option, _OPTIONS))
        elif not re.fullmatch(_OPTIONS[option], value):
            yield InputError(where, f"{value!r} is no value of --{option}", "see: man sbatch")
        elif option in given:
            yield InputError(where, f"--{option} is given twice", "keep one of the two")
        given[option] = value
    for option, (problem, fix) in _NEEDED.items():
        if option not in given:
            yield InputError("line 1", problem, fix)
    yield from _limits(text, given)


def _limits(text: str, given: dict[str, str]) -> Iterator[InputError]:
    hours = slurm_hours(given.get("time", ""))
    if hours is None or not 0 < hours <= _LONGEST_HOURS:
        yield InputError(line_of(text, "--time"), "has no time limit within a week", "add: #SBATCH --time=24:00:00")
    nodes = given.get("nodes", "1").rpartition("-")[2]
    if nodes.isdigit() and int(nodes) > MOST_WORKERS:
        yield InputError(line_of(text, "--nodes"), f"{nodes} nodes", f"give at most {MOST_WORKERS}")
    if given.get("ntasks-per-node", "1") != "1":
        yield InputError(line_of(text, "--ntasks-per-node"), "starts Ray twice on a node", "write 1")
    for name, most in (("cpus-per-task", 256), ("gpus-per-node", 16)):
        count = given.get(name, "1").rpartition(":")[2]
        if count.isdigit() and int(count) > most:
            yield InputError(line_of(text, f"--{name}"), f"no node has {count}", f"give at most {most}")


def _start_findings(text: str) -> Iterator[tuple[str, str]]:
    """`srun ... ray symmetric-run --address HEAD ... -- python -m sweep.run ...`, each option one that exists."""
    code = without_comments(text)
    line = next((line for line in code.splitlines() if "symmetric-run" in line), "")
    try:
        words = shlex.split(line)
    except ValueError:
        return
    fix = "use: srun ray symmetric-run --address HEAD:6379 -- python -m sweep.run CONFIG --storage URL"
    if words[:1] != ["srun"] or "symmetric-run" not in words or "--" not in words:
        yield "does not start Ray on every node", fix
        return
    middle, end = words.index("symmetric-run"), words.index("--")
    if not words[middle - 1].endswith("ray"):
        yield f"{words[middle - 1]} is not ray", fix
    given: dict[str, str] = {}
    for part, known in ((words[1 : middle - 1], _SRUN_OPTIONS), (words[middle + 1 : end], _RAY_OPTIONS)):
        yield from _option_findings(part, known, given)
    for name, value in (("--kill-on-bad-exit", "1"), ("--address", None), ("--min-nodes", None), ("--num-cpus", None)):
        if name not in given or value not in (None, given[name]):
            yield f"lacks {name}, and waits or works on one node", "write it as in cluster/slurm.sbatch"
    python, command = words[end + 1 : end + 2], words[end + 2 : end + 4]
    if command != ["-m", "sweep.run"] or not python[0].endswith(("python", "python3")):
        yield "runs something else on the nodes", fix
    heads = re.findall(r"\s--address[= ]\"?([^\s\"]+)", line)
    if len(set(heads)) != 1 or not re.fullmatch(r"\$?\{?[\w.-]+\}?:([1-9]\d{3}|[1-5]\d{4})", heads[0]):
        yield f"Ray and the sweep have other addresses ({', '.join(heads)})", 'write --address "$head:6379" twice'


def _option_findings(words: list[str], known: Sequence[str], given: dict[str, str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        name, sign, value = word.partition("=")
        if name not in known:
            yield f"{name}: unknown option", suggestion(name, known)
            continue
        given[name] = value if sign else next(rest, "")
        if not given[name] or given[name].startswith("-"):
            yield f"{name} has no value", "write it behind the option"


def _parsed(words: str) -> tuple[str, str]:
    """Option name without dashes, and value, of '--time=1', '--time 1', '-t 1'; comments behind them are cut."""
    name, _, value = re.sub(r"\s+#.*", "", words).partition(" ")
    if "=" in name:
        name, _, rest = name.partition("=")
        value = f"{rest} {value}".strip()
    return (_SHORT.get(name) or name.removeprefix("--") if name.startswith("-") else name), value.strip()


def slurm_hours(time: str) -> float | None:
    """Hours of --time in Slurm's forms MM, MM:SS, HH:MM:SS, D-HH[:MM[:SS]]."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if not found:
        return None
    days, first, second, third = found.groups()
    if days:
        return int(days) * 24 + int(first) + int(second or 0) / 60
    return int(first) + int(second) / 60 if third else int(first) / 60
