"""The reliability scorecard: seeded faults on real sweeps, one row of docs/reliability.md each.

python -m tests.reliability [--quick] [--cases 3] [--only R1,R5] [--results FILE] [--table FILE]

Results are JSON lines in an ignored folder; a case that has passed is not run again (`--anew` starts over), so an interrupted run is
resumed by the same command. Faults stay on this machine and on loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.patience import VARIABLE
from tests.reliability.rows import Row, all_rows
from tests.reliability.table import write_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "reliability" / "results.jsonl"
TABLE = ROOT / "docs" / "reliability.md"
_START_S = 60  # to import what a case needs, and for what the cases of a process share


def main() -> int:
    """Run the rows that are asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few cases of each row without Ray: about 15 minutes")
    parser.add_argument("--cases", type=int, metavar="N", help="at most so many cases of each row, rows with Ray too")
    parser.add_argument("--only", default="", metavar="ROW,ROW", help="only these rows")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (default: %(default)s)")
    parser.add_argument("--table", type=Path, default=TABLE, help="page to write (default: %(default)s)")
    parser.add_argument("--anew", action="store_true", help="forget earlier results")
    parser.add_argument(
        "--patience", type=float, default=1.0, metavar="FACTOR", help="on all time limits, for a busy machine"
    )
    parser.add_argument("--in-process", nargs=2, metavar=("ROW", "NUMBERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = all_rows()
    if options.in_process:
        return _run_here(rows[options.in_process[0]], options.in_process[1], options.results)
    unknown = [name for name in filter(None, options.only.split(",")) if name not in rows]
    if unknown:
        parser.error(f"--only: no row {', '.join(unknown)}; rows: {', '.join(rows)}")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if options.anew:
        options.results.unlink(missing_ok=True)
    asked = options.only.split(",") if options.only else rows
    for name in asked:
        _run_row(rows[name], options)
    results = read_results(options.results)
    write_table(options.table, rows.values(), results, _command(options))
    failed = [one for one in results.values() if not one["passed"]]
    sys.stdout.write(f"{len(results) - len(failed)} cases passed, {len(failed)} failed; table: {options.table}\n")
    return 1 if failed else 0


def _command(options: argparse.Namespace) -> str:
    words = "`make chaos QUICK=1`" if options.quick else "`make chaos`"
    only = f", rows {options.only.replace(',', ', ')}" if options.only else ""
    patience = f", time limits x {options.patience:g} because the machine was busy" if options.patience != 1 else ""
    fewer = "" if options.cases is None else ", of each row as many cases as the table says"
    return f"{words}{only}{fewer}{patience}"


def read_results(path: Path) -> dict[tuple[str, int], dict]:
    """The newest result of every case."""
    if not path.exists():
        return {}
    lines = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return {(line["row"], line["case"]): line for line in lines}


def _run_row(row: Row, options: argparse.Namespace) -> None:
    done = read_results(options.results)
    cases = row.cases(options.quick) if options.cases is None else range(min(row.full, options.cases))
    left = [number for number in cases if not done.get((row.id, number), {}).get("passed")]
    for begin in range(0, len(left), row.together):
        _run_process(row, left[begin : begin + row.together], options)
    if cases:
        results = read_results(options.results)
        passed = sum(results.get((row.id, number), {}).get("passed", False) for number in cases)
        sys.stdout.write(f"{row.id:13} {passed} of {len(cases)}  {row.claim}\n")
        sys.stdout.flush()


def _run_process(row: Row, numbers: list[int], options: argparse.Namespace) -> None:
    """Cases in a process group of their own, which is ended when it takes too long; the case that it was at has then failed."""
    limit_s = (_START_S + row.limit_s * len(numbers)) * options.patience
    words = [sys.executable, "-m", "tests.reliability", "--results", str(options.results)]
    words += ["--in-process", row.id, ",".join(map(str, numbers))]
    process = subprocess.Popen(words, cwd=ROOT, env=_environment(options.patience), start_new_session=True)
    try:
        process.wait(limit_s)
        why = f"its process ended with code {process.returncode}"
    except subprocess.TimeoutExpired:
        why = f"not done within {limit_s:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done = read_results(options.results)
    begun = [number for number in numbers if (row.id, number) not in done]
    if begun:  # later ones were not reached: the next run takes them up
        _note(options.results, row, begun[0], False, {"seconds": 0.0}, why)


def _environment(patience: float) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, VARIABLE: f"{patience:g}"}


def _run_here(row: Row, numbers: str, results: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="reliability-") as home:
        os.environ.setdefault("RECIPE_CACHE", f"{home}/cache")
        for number in map(int, numbers.split(",")):
            folder, begin, cpu_before = Path(home) / str(number), time.monotonic(), _cpu_s()
            folder.mkdir()
            try:
                row.run(number, folder)
                passed, note = True, ""
            except Exception as fault:
                place = traceback.extract_tb(fault.__traceback__)[-1]
                passed, note = False, f"{type(fault).__name__}: {fault} ({Path(place.filename).name}:{place.lineno})"
            times = {"seconds": round(time.monotonic() - begin, 2), "cpu_s": round(_cpu_s() - cpu_before, 2)}
            _note(results, row, number, passed, times, note)
    return 0


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for; daemons of Ray are not among them."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _note(results: Path, row: Row, number: int, passed: bool, times: dict[str, float], note: str) -> None:
    line = {"row": row.id, "case": number, "passed": passed, **times, "note": note}
    line["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
    with open(results, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    if not passed:
        sys.stdout.write(f"{row.id} case {number} failed: {note}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
