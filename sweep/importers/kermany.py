"""Kermany: children's chest X-rays in class folders, the patient in the file name.

python -m sweep.importers kermany chest_xray shards/kermany
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.class_folders import other_folders
from sweep.importers.files import images_below
from sweep.importers.raw import Ignored, Importer, RawImage

LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
_EXPECTS = "the folder with train/ and test/ (and val/), each with NORMAL/ and PNEUMONIA/"
_SPLITS = ("all", "train", "val", "test")
# The names of the widespread edition, and those of the third version at Mendeley: BACTERIA-213622-0001.jpeg.
_PERSON = re.compile(r"^(person\d+|(?:NORMAL2-)?IM-\d+)[_-]|^(?:BACTERIA|VIRUS|NORMAL)-(\d+)-\d", re.IGNORECASE)


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    inner = src / "chest_xray"
    src = inner if inner.is_dir() else src
    present = [split for split in _SPLITS[1:] if (src / split).is_dir()]
    wanted = [split for split in present if options["split"] in ("all", split)]
    if not wanted:
        named = ", ".join(_SPLITS[1:] if options["split"] == "all" else (options["split"],))
        raise InputError(src, f"holds none of {named} with NORMAL/ and PNEUMONIA/", f"expects {_EXPECTS}")
    for split in wanted:
        # The same authors' OCT2017 has a NORMAL folder too, beside three that would be lost.
        yield from other_folders(src / split, tuple(LABELS), _EXPECTS)
        for name in LABELS:
            if not (src / split / name).is_dir():
                raise InputError(src / split / name, "there is no such folder", f"expects {_EXPECTS}")
    for split in present:
        for name, label in LABELS.items():
            for path in images_below(src / split / name) if (src / split / name).is_dir() else ():
                place = path.relative_to(src).as_posix()
                if split not in wanted:
                    yield Ignored(place, "images of the other published folders", path)
                    continue
                yield RawImage(place, label, path, patient=person(path), source_path=place)


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
    modality="chest X-ray",
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
