"""An exported model on new images -> a CSV with a row an image, and one with a row a patient.

python -m sweep.predict MODEL IMAGES --out predictions.csv
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from analysis.csv_cells import cell
from sweep.core.command_line import EXITS, Command, one_of
from sweep.core.errors import EXIT_COMPLETE, EXIT_FAILED_TRIALS, InputError, printable
from sweep.core.storage import Storage
from sweep.importers import flags
from sweep.importers.progress import Counter

_console = Console(highlight=False)
_SHOWN = 20  # bad files printed before the list is cut
_EVERY = 1000  # images between two lines of progress where there is no terminal


def predict(
    model: Annotated[str, typer.Argument(help="Folder that recipe-finder export wrote.", show_default=False)],
    images: Annotated[
        str,
        typer.Argument(
            help="A folder of images or DICOM files, a table (.csv, .xlsx) of image paths, or a shard folder.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV to write; of patients FILE's name + _patients.")
    ] = Path("predictions.csv"),
    patient_regex: flags.PatientRegex = None,
    patients: flags.Patients = None,
    path_column: flags.PathColumn = None,
    patient_column: flags.PatientColumn = None,
    root: flags.Root = None,
    key_file: flags.KeyFile = None,
    burned_in: flags.BurnedIn = None,
    depth: Annotated[
        int | None,
        typer.Option(
            metavar="BITS",
            min=8,
            max=16,
            help="Bits of a grey value in files deeper than eight.",
            show_default="as in training",
        ),
    ] = None,
    device: Annotated[str, typer.Option(**one_of(("cpu", "cuda")), help="Where the network runs.")] = "cpu",
) -> int:
    """Predict new images with an exported model: probabilities, decisions, and a flag for images unlike the training images.

    Images are decoded, shrunk and fitted exactly as the training images were. Files that cannot be read are listed and left out.
    """
    given = {
        "patient_regex": patient_regex, "patients": patients, "path_column": path_column, "patient_column": patient_column,
        "root": root, "key_file": key_file, "burned_in": burned_in, "depth": depth,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    with flags.flags_named(given):
        return _predict(model, images, out, options, device)


def _predict(model: str, images: str, out: Path, options: dict[str, Any], device: str) -> int:
    import torch

    from sweep.deployment.images import Reading
    from sweep.deployment.model_folder import read_exported
    from sweep.deployment.predictions import predict_new

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda", "this machine has no usable GPU", "leave --device out")
    place, name = Storage.of_file(out)
    exported = read_exported(model)
    bad: list[InputError] = []
    ignored: list[str] = []
    with _progress() as (total, done):
        reading = Reading(images, options, bad.append, lambda one: ignored.append(f"{one.where} ({one.reason})"), total)
        predicted = predict_new(exported, reading, done, device)
    place.write(name, as_csv(predicted.images))
    lines = [f"{place.address(name)}: {predicted.familiarity}"]
    if len(predicted.patients):
        second = patients_file(name)
        place.write(second, as_csv(predicted.patients))
        lines.append(f"{place.address(second)}: {len(predicted.patients)} patients, by their mean probability")
    else:
        lines.append("no patient is known, so there is no row a patient")
    lines += _listed("left out on purpose", ignored) + _listed(
        "could not be read", [f"{one.where}: {one.problem}" for one in bad]
    )
    for line in lines:
        _console.print(printable(line), soft_wrap=True, markup=False)
    return EXIT_FAILED_TRIALS if bad else EXIT_COMPLETE


def patients_file(name: str) -> str:
    """predictions.csv -> predictions_patients.csv."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}_patients.{suffix}" if dot else f"{name}_patients"


def as_csv(frame: pd.DataFrame) -> bytes:
    """CSV as UTF-8, numbers with six digits, text safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, frame.columns))
    for row in frame.itertuples(index=False):
        writer.writerow(f"{value:.6f}" if isinstance(value, float) else cell(value) for value in row)
    return text.getvalue().encode()


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = [f"  ... and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return [f"{len(names)} {what}:", *(f"  {name}" for name in names[:_SHOWN]), *more]


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Functions that are told the total and each batch: a bar on a terminal, elsewhere a line every thousand images."""
    if sys.stderr.isatty():
        with Counter() as counter:

            def advance(images: int) -> None:
                for _ in range(images):
                    counter.done(1)

            yield counter.total, advance
        return
    count = 0

    def done(images: int) -> None:
        nonlocal count
        if count // _EVERY != (count + images) // _EVERY:
            print(f"{count + images} images", file=sys.stderr, flush=True)
        count += images

    yield lambda total: None, done


main = Command(
    predict,
    examples=(
        "{} model PATH/TO/IMAGES --patient-regex '^(p\\d+)_'",
        "{} model images.csv --path-column file --patient-column person --out predictions.csv",
        "{} model PATH/TO/DICOM --key-file PATH/TO/clinic.key",
        "{} model shards/there",
    ),
    exits={
        **EXITS,
        EXIT_COMPLETE: "every image was predicted",
        EXIT_FAILED_TRIALS: "done, but some files could not be read",
    },
)

if __name__ == "__main__":
    sys.exit(main())
