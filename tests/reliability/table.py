"""Results of the scorecard -> docs/reliability.md."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.reliability.rows import Row

_HEAD = """\
# Reliability

What clusters, machines and users do to a sweep, tried on purpose: killed drivers and workers, full disks, damaged ledgers, failing
trials, second drivers. Each row is a claim, tried by seeded cases with a time limit each; the ids R1 to R16 group them by kind of fault.
Sweeps are real ones (simulated scanners at 32 pixels) and run on the inline engine unless the fault is one of Ray.

    make chaos         every row, about two hours on two quiet cores; make torture: the rows about ledger, storage and bad trials alone
    make chaos QUICK=1 a few cases of each row that needs no Ray, about 15 minutes

Results are kept in `results/reliability/`, so an interrupted run is resumed by the same command. Of `python -m tests.reliability`,
`--only R1,R5` runs single rows, `--cases 3` at most three cases of each row, and `--patience 4` multiplies every time limit on a busy
machine. The first case of a process also pays for what the cases share (imports, the undisturbed sweep). CPU time is that of the sweep's own
processes, without Ray's daemons.

"""


def write_table(path: Path, rows: Iterable[Row], results: Mapping[tuple[str, int], Mapping], command: str) -> None:
    """One line a row: cases planned, run and passed, and the median time of a case; then what failed, in its own words."""
    lines, failures = [], []
    dates = sorted({one["date"] for one in results.values()})
    for row in rows:
        mine = [one for (name, _), one in results.items() if name == row.id]
        passed = [one for one in mine if one["passed"]]
        run = f"{len(passed)} of {len(mine)}" if mine else "not run"
        took = _median(one["seconds"] for one in passed)
        full = f"{row.full} x {row.faults}" if row.faults > 1 else row.full
        cost = _median(one["cpu_s"] for one in passed if "cpu_s" in one)
        lines.append(f"| {row.id} | {row.claim} | {full} | {run} | {took} | {cost} | {row.limit_s:g} s |")
        failures += [f"- {row.id}, case {one['case']}: {_short(one['note'])}" for one in mine if not one["passed"]]
    when = f"{dates[0]} to {dates[-1]}" if len(dates) > 1 else (dates or ["never"])[0]
    text = _HEAD + f"Last run: {when}, {command}, {platform.machine()}, {os.cpu_count()} cores.\n\n"
    text += "| row | claim | cases of a full run (x faults of a case) | passed of those run | median of a case | its CPU time | limit of a case |\n"
    text += "|---|---|--:|--:|--:|--:|--:|\n" + "\n".join(lines) + "\n"
    text += "\n## Failed cases\n\n" + "\n".join(failures) + "\n" if failures else ""
    path.write_text(text, encoding="utf-8")


def _median(seconds: Iterable[float]) -> str:
    known = list(seconds)
    return f"{statistics.median(known):.1f} s" if known else "-"


def _short(note: str) -> str:
    return " ".join(note.split())[:300].replace("|", "\\|")
