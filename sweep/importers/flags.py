"""Options of the importers as options of commands that choose an importer themselves: declared once, for init and predict."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.core.command_line import one_of

PatientRegex = Annotated[
    str | None,
    typer.Option(help="Folder: regular expression on the file name whose one group is the patient."),
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
