"""The ranking of a running sweep in the terminal, refreshed as records finish.

python -m analysis.watch results/ratio --top 10
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from analysis import metric_names, selection
from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.freshness import ledger_version
from analysis.rank import as_table
from analysis.ranking import rank
from sweep.core.command_line import Command, run_as_program
from sweep.core.durations import duration
from sweep.core.errors import EXIT_COMPLETE, EXIT_STOPPED, InputError
from sweep.core.storage import Storage

CLEAR = "\x1b[2J\x1b[H"
DRAWS = 300


def snapshot(folder: str | Path, by: str, top: int) -> str:
    """Progress line and ranking of the ledger's present state."""
    run = load_run(folder)
    planned = f" of {run.planned_records}" if run.planned_records else ""
    failed = f", {len(run.failures)} failed" if len(run.failures) else ""
    failed += f", {len(run.stopped)} stopped early" if len(run.stopped) else ""
    spent = duration(float(run.seconds["total"].sum())) if "total" in run.seconds else "unknown time"
    best = ""
    if "auroc/target" in run.means and "auroc/target" not in run.undefined:
        best = f"; best {metric_names.title('auroc/target')} so far {run.means['auroc/target'].max():.3f} (oracle)"
    head = f"{run.name}: {len(run.records)}{planned} records finished{failed}, {spent} of work{best}\n"
    return head + as_table(rank(run, by, top=top, estimates=Estimates(run, draws=DRAWS)))


def watch(folder: str | Path, by: str, top: int, *, period_s: float, once: bool) -> Iterator[str]:
    """Yields a snapshot whenever the ledger has changed; waits where nothing has finished yet. Ends after one if `once`."""
    if not Storage(folder).exists("records"):
        load_run(folder)  # tells what is wrong with the folder
    seen = ""
    while True:
        version = ledger_version(folder)
        if version != seen:
            seen = version
            try:
                yield snapshot(folder, by, top)
            except InputError as nothing_yet:
                if once or "no record has finished" not in nothing_yet.problem:
                    raise
                yield f"{folder}: {nothing_yet.problem}\n"
        if once:
            return
        time.sleep(period_s)


def watch_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    by: Annotated[str, typer.Option(help="The order, as recipe-finder rank takes it.")] = selection.DEFAULT_RULE,
    top: Annotated[int, typer.Option(metavar="N", help="Rows to show.")] = 8,
    period: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between two readings of the ledger.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the present state and end.")] = False,
) -> int:
    """Follow a sweep's ranking in the terminal as records finish."""
    clear = CLEAR if sys.stdout.isatty() and not once else ""
    try:
        for text in watch(run, by, top, period_s=period, once=once):
            sys.stdout.write(clear + text)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_STOPPED
    return EXIT_COMPLETE


main = Command(watch_command, examples=("{} results/ratio", "{} results/ratio --once --top 20"))

run_as_program(main, __name__)
