"""Options of the importers as options of commands that choose an importer themselves: declared once, for init and predict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sweep.core.command_line import one_of
from sweep.core.errors import InputError, InputErrors

PatientRegex = Annotated[
    str | None,
    typer.Option(help="Folder: regular expression on the file name whose one group is the patient."),
]
Patients = Annotated[str | None, typer.Option(metavar="FILE", help="Folder: table with columns image and patient.")]
PathColumn = Annotated[str | None, typer.Option(help="Table: column of image paths.", show_default="path")]
Root = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Table: folder that the paths are relative to.", show_default="the table's"),
]
PatientColumn = Annotated[str | None, typer.Option(help="Table: column of patients.")]
KeyFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="DICOM: file with the secret that patient ids are hashed with.")
]
BurnedIn = Annotated[
    str | None,
    typer.Option(
        **one_of(("refuse", "blank", "keep")),
        help="DICOM: what to do with frames that may have a name written on them.",
        show_default="as the importer, or the model, has it",
    ),
]


@contextmanager
def flags_named(options: Iterable[str]) -> Iterator[None]:
    """Mistakes in an importer's own option name the flag that was typed: --patient-regex, not patient_regex."""
    try:
        yield
    except InputErrors:
        raise
    except InputError as mistake:
        flags = {option: f"--{option.replace('_', '-')}" for option in options}
        where = flags.get(mistake.where, mistake.where)
        fix = " ".join(flags[word] if "_" in word and word in flags else word for word in mistake.fix.split(" "))
        raise InputError(where, mistake.problem, fix) from None
