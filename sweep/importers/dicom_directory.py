"""DICOMDIR, the table of contents of a DICOM medium -> label of each file by its patient, study or series.

Folders on such a medium are numbered and mean nothing. The table of labels names patients (PatientID), studies (StudyInstanceUID) or
series (SeriesInstanceUID); which file belongs to which stands in the DICOMDIR.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.core.bounded import bounded
from sweep.core.errors import InputError
from sweep.importers.dicom_header import FIX, named
from sweep.importers.raw import Ignored
from sweep.importers.spelling import check_spellings

LEVELS = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
_NAME = "DICOMDIR"


def labelled_files(src: Path, table: pd.DataFrame, level: str, where: Path) -> Iterator[tuple[Path, str] | Ignored]:
    """Path and label of every file that the DICOMDIR in `src` lists below a `level` named in the table at `where`.

    Files of others are ignored, and said. Raises InputError when there is no DICOMDIR, when the table names one that it does not list, or
    gives one two labels.
    """
    labels: dict[str, str] = {}
    for row, entry in table.iterrows():
        if labels.setdefault(entry[level], entry["label"]) != entry["label"]:
            problem = f"a second label of {entry[level]!r}: {labels[entry[level]]!r} and {entry['label']!r}"
            raise InputError(f"{where}, row {row}, column label", problem, "remove one of the rows")
    check_spellings(labels, f"{where}, column {level}", level)
    directory = src / _NAME
    if not directory.is_file():
        fix = "give the folder with the DICOMDIR, or a table with a column path"
        raise InputError(directory, f"there is no such file, and the table names each {level}", fix)
    listed = bounded(read_directory, directory, where=directory)
    absent = sorted(set(labels) - {entry[level] for entry in listed})
    if absent:
        problem = f"{len(absent):,} of {len(labels):,} are not in {directory}, like {absent[0]!r}"
        raise InputError(f"{where}, column {level}", problem, "correct the ids, or remove the rows")
    for entry in listed:
        path = src / entry["path"]
        if entry[level] in labels:
            yield path, labels[entry[level]]
        else:
            yield Ignored(entry["path"], f"files of a {level} that the table does not name", path)


def read_directory(path: Path) -> list[dict[str, Any]]:
    """path (below the DICOMDIR's folder), patient, study and series of every file that a DICOMDIR lists."""
    with named(path) as pydicom:
        from pydicom.fileset import FileSet

        root = path.parent.resolve()
        found = []
        for instance in FileSet(pydicom.dcmread(path)):
            place = Path(instance.path).resolve()
            if not place.is_relative_to(root):
                raise InputError(path, "it lists a file outside of its folder", FIX)
            ids = {level: str(getattr(instance, name, "") or "").strip() for level, name in LEVELS.items()}
            found.append({"path": place.relative_to(root).as_posix(), **ids})
        return found
