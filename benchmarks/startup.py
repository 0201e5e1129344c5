"""From the command to the first epoch: seconds of each phase, processes and CPU seconds. `python -m benchmarks.overhead startup`.

The sweep runs as a user starts it, in a process of its own; the phases are told from what appears in its run folder, the processes and
their CPU time from /proc.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sweep.store.ledger import read_ledger

_LOOK_S = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")
_LIMIT_S = 600.0
PHASES: dict[str, Callable[[Path], bool]] = {
    "imports and sweep config": lambda run: (run / "space.yaml").exists(),
    "data and plan": lambda run: (run / "data.json").exists(),
    "models checked, engine starting": lambda run: bool(read_ledger(run).of_kind("sweep")),
    "first epoch": lambda run: bool(read_ledger(run).of_kind("epoch")),
}


@dataclass
class Profile:
    """Seconds after the command at which each phase ended; every process that was seen with its CPU seconds."""

    ended: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def lines(self, engine: str) -> list[str]:
        """As a table."""
        found, before = [f"{engine}: load {os.getloadavg()[0]:.1f}"], 0.0
        for phase, end in self.ended.items():
            found.append(f"  {phase:<34}{end - before:6.1f} s   (after {end:.1f} s)")
            before = end
        found.append(f"  {len(self.cpu_s)} processes, {sum(self.cpu_s.values()):.1f} CPU s before the first epoch")
        heavy = sorted(self.cpu_s.items(), key=lambda item: -item[1])[:12]
        return found + [f"    {seconds:6.1f} CPU s  {self.names[pid]}" for pid, seconds in heavy if seconds >= 0.5]


def profile(sweep_config: Path, run: Path, engine: str) -> Profile:
    """Start the sweep, watch it until its first epoch is in the ledger, then end it and all that came of it."""
    command = [sys.executable, "-m", "sweep.run", str(sweep_config), "--storage", str(run), "--engine", engine]
    found, begin = Profile(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for phase, is_over in PHASES.items():
            while not is_over(run):
                if process.poll() is not None or time.perf_counter() - begin > _LIMIT_S:
                    raise RuntimeError(f"the sweep on {engine} came to no first epoch")
                _note(found, process.pid)
                time.sleep(_LOOK_S)
            found.ended[phase] = time.perf_counter() - begin
        _note(found, process.pid)
        return found
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _note(found: Profile, root: int) -> None:
    """Add what the process and its descendants have used so far."""
    family, parents = {root}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            parents[int(entry.name)] = (int(stat[1]), (int(stat[11]) + int(stat[12])) / _TICKS)
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    for pid in family & parents.keys():
        found.cpu_s[pid] = parents[pid][1]
        found.names[pid] = _name(pid) or found.names.get(pid, "?")


def _name(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    if words[0].startswith("ray::"):
        return words[0]
    return " ".join(Path(word).name for word in words[:3] if word)[:60]
