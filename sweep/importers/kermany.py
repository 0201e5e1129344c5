"""Kermany: children's chest X-rays in class folders, the patient in the file name.

python -m sweep.importers kermany chest_xray shards/kermany
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.files import images_below
from sweep.importers.raw import Importer, RawImage

LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
_EXPECTS = "the folder with train/ and test/ (and val/), each with NORMAL/ and PNEUMONIA/"
_SPLITS = ("all", "train", "val", "test")
# The names of the widespread edition, and those of the third version at Mendeley: BACTERIA-213622-0001.jpeg.
_PERSON = re.compile(r"^(person\d+|(?:NORMAL2-)?IM-\d+)[_-]|^(?:BACTERIA|VIRUS|NORMAL)-(\d+)-\d", re.IGNORECASE)


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    inner = src / "chest_xray"
    src = inner if inner.is_dir() else src
    wanted = _SPLITS[1:] if options["split"] == "all" else (options["split"],)
    folders = [(src / split / name, label) for split in wanted for name, label in LABELS.items()]
    found = [(folder, label) for folder, label in folders if folder.is_dir()]
    if not found:
        raise InputError(src, f"holds none of {', '.join(wanted)} with NORMAL/ and PNEUMONIA/", f"expects {_EXPECTS}")
    for folder, label in found:
        for path in images_below(folder):
            name = path.relative_to(src).as_posix()
            yield RawImage(name, label, path, patient=person(path), source_path=name)


def person(path: Path) -> str:
    """The patient of a file: `person1_bacteria_2.jpeg` is person1, `NORMAL2-IM-0095-0001.jpeg` NORMAL2-IM-0095,
    `BACTERIA-213622-0001.jpeg` 213622.

    Numbers may have been given anew for bacteria and virus or for train and test; they are taken as one person,
    because a group too large costs nothing and one too small leaks.
    """
    match = _PERSON.match(path.name)
    if match is None:
        raise InputError(path, "no person in the file name", "restore the published names, or import it as folder")
    return match[1] or match[2]


ROW = Importer(
    describe="children's chest X-rays, China: normal or pneumonia, 5,856 images",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Kermany et al., Cell 172(5):1122-1131, 2018",
    source="https://doi.org/10.17632/rscbjbr9sj.3",
    iterate=_iterate,
    domain="guangzhou",
    positive="pneumonia",
    classes=tuple(LABELS.values()),
    options={"split": "all"},  # or one of the published folders
    choices={"split": _SPLITS},
    help={"split": "Which of the published splits to read."},
    traps="identical files under several numbers; several films per child, across the published folders too",
)
