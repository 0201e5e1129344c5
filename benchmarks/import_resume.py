"""Import commands on real data sets: with progress, interrupted by SIGINT and by SIGKILL, resumed, and compared with an uninterrupted import.

    python -m benchmarks.import_resume DATA      # the folder with BUSI/, BrEaST/, chest_pneumonia_224/, nih1000_64/

Every command runs on a terminal of its own (a pseudo-terminal), so that it draws its progress bar. It is interrupted as soon as one more
block of images is finished, once by each signal, and then left to finish. Sets of up to one block (512 images) keep no blocks: they are
interrupted while images are read, and begin anew. The shard folders must be equal bit for bit, and nothing may be left beside them.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sweep.importers.files import images_below

_BAR = re.compile(r"(\d+)/(\d+)")
_PATIENCE_S = 900.0


def main() -> int:
    """Print one line for each command; exit status 1 when one of them does not come out equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    equal = True
    with tempfile.TemporaryDirectory() as place:
        for name, words in _commands(data, Path(place)):
            line, good = _tried(Path(place) / name, words)
            equal &= good
            print(f"{name:<16} {line}", flush=True)
    return 0 if equal else 1


def _commands(data: Path, place: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and words (without the destination) of an import command for each set that is there."""
    published = {"busi": "BUSI", "brest": "BrEaST", "kermany": "chest_pneumonia_224"}
    for name, folder in published.items():
        if (data / folder).is_dir():
            yield name, [name, str(data / folder)]
    chest, nih = data / "chest_pneumonia_224" / "chest_xray" / "train", data / "nih1000_64"
    if chest.is_dir():
        yield "folder", ["folder", str(chest), "--patient-regex", r"^(person\d+|(?:NORMAL2-)?IM-\d+)"]
        yield "folder-unlabelled", ["folder", str(chest), "--unlabelled"]
    if nih.is_dir():
        table = place / "nih.csv"
        lines = [f"{path.relative_to(nih)},{path.parent.name},{path.name[:8]}" for path in images_below(nih)]
        table.write_text("path,label,patient\n" + "\n".join(lines) + "\n", encoding="utf-8")
        yield "csv", ["csv", str(table), "--root", str(nih), "--patient-column", "patient"]


def _tried(place: Path, words: list[str]) -> tuple[str, bool]:
    whole, resumed = place / "whole", place / "resumed"
    status, shown = _run(words, whole)
    if status != 0:
        return f"fails with exit status {status}: {shown[-300:]}", False
    told = [f"bar up to {_furthest(shown)}"]
    for number in (signal.SIGINT, signal.SIGKILL):
        status, shown = _run(words, resumed, number)
        told.append(f"{number.name} at {_furthest(shown)} (exit status {status})")
        if resumed.exists():
            return f"{', '.join(told)}: the destination exists after an interruption", False
    status, shown = _run(words, resumed)
    left = [path.name for path in place.iterdir() if path not in (whole, resumed)]
    same = status == 0 and _content(whole) == _content(resumed) and not left
    verdict = "equal bit for bit" if same else f"NOT EQUAL (exit status {status}, left beside: {left})"
    return f"{', '.join(told)}, resumed: {verdict}", same


def _run(words: list[str], dst: Path, interrupt: signal.Signals | None = None) -> tuple[int, str]:
    """Exit status and what the terminal showed of one import, interrupted once it has finished one more block or read a tenth."""
    blocks = dst.parent / f".{dst.name}.importing"
    before = _finished(blocks)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "sweep.importers", *words, str(dst)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
    )  # fmt: skip
    os.close(theirs)
    shown, start = "", time.monotonic()
    while time.monotonic() - start < _PATIENCE_S:
        if select.select([ours], [], [], 0.02)[0]:
            try:
                shown += os.read(ours, 1 << 16).decode(errors="replace")
            except OSError:  # the terminal of a process that has ended
                break
        if interrupt is not None and process.poll() is None and (_finished(blocks) > before or _read(shown) > 0.1):
            process.send_signal(interrupt)
            interrupt = None
    os.close(ours)
    return process.wait(timeout=60), shown


def _finished(blocks: Path) -> int:
    return len(list(blocks.glob("*/done"))) if blocks.is_dir() else 0


def _read(shown: str) -> float:
    """The share of the images that the bar last showed as done, where there is no block to wait for."""
    found = _BAR.findall(shown)
    return int(found[-1][0]) / max(1, int(found[-1][1])) if found and int(found[-1][1]) <= 512 else 0.0


def _furthest(shown: str) -> str:
    found = _BAR.findall(shown)
    return "/".join(max(found, key=lambda one: int(one[0]))) if found else "no bar"


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    sys.exit(main())
