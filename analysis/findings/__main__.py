"""run folders -> docs/findings/*.json; docs/findings/ -> docs/findings.md and its figures.

python -m analysis.findings --out docs results/findings/runs/gap-frozen
python -m analysis.findings --out docs                # the page alone, from the records that are there
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.findings.collect import collect, collect_folds
from analysis.findings.page import FOLDER, figures, page, readme_table
from analysis.findings.questions import is_fold, part_of
from analysis.findings.records import read_findings, write_record
from analysis.frames import load_run
from sweep.core.atomic import write_text
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE

PAGE = f"{FOLDER}.md"
README = "README.md"  # beside the folder of the page
BEGIN, END = "<!-- findings: written by make findings -->", "<!-- end of findings -->"


def findings_command(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Run folders of search_spaces/findings; all folds of a cross-validation together.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of findings.md, with the records in findings/ below it.")
    ] = Path("docs"),
) -> int:
    """Write the records of runs, then the findings page from all records that are there, and print its path."""
    write_records(runs or (), out)
    sys.stdout.write(f"{write_page(out)}\n")
    return EXIT_COMPLETE


def write_records(runs: Sequence[str], out: Path) -> None:
    """One record a sweep config, the folds of one cross-validation in one. InputError for a run that is none of the findings."""
    folds: dict[str, list[str]] = {}
    for folder in runs:
        name = load_run(folder).name
        part = part_of(name)
        if part is not None and is_fold(name):
            folds.setdefault(part.name, []).append(folder)
        else:
            write_record(collect(folder), out / FOLDER)
    for folders in folds.values():
        write_record(collect_folds(folders), out / FOLDER)


def write_page(out: Path) -> Path:
    """The page, its figures and the README's table from the records alone; figures that no record has any more are removed."""
    found = read_findings(out / FOLDER)
    drawn = figures(found)
    for path in (out / FOLDER).glob("*.svg"):
        if path.name not in drawn:
            path.unlink()
    for name, text in drawn.items():
        write_text(out / FOLDER / name, text)
    write_text(out / PAGE, page(found))
    readme = out.parent / README
    if readme.exists():
        write_text(readme, with_table(readme.read_text(encoding="utf-8"), readme_table(found)))
    return out / PAGE


def with_table(text: str, written: str) -> str:
    """A README with this table between its two marks; without marks as it was."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n{written}\n{END}{after}" if begin and end else text


main = Command(findings_command, examples=("{} --out docs results/findings/runs/gap-frozen", "{}"))

if __name__ == "__main__":
    sys.exit(main())
