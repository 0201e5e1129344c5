"""BUSIS: breast ultrasound from three Chinese hospitals on five scanners, masks in GT/.

python -m sweep.importers busis BUSIS shards/busis

The archive is given on request; this layout is the one that published readers of BUSIS562.csv rely on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.files import only
from sweep.importers.raw import Importer, RawImage, missing
from sweep.importers.roi import ROIS
from sweep.importers.tables import choice, read_table
from sweep.importers.walk import images_below

CLASSES = ("benign", "malignant")
_LETTERS = {"b": "benign", "m": "malignant"}
_EXPECTS = "the folder with BUSIS562.csv (columns img name and tumor type), Original/ (case1.bmp ...) and GT/"
_NUMBER = re.compile(r"case\s*0*(\d+)", re.IGNORECASE)


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    path = only(src, "BUSIS562.csv", "BUSIS562.csv, Original/ and GT/")
    files = _by_number(path.parent / "Original")
    for row, image in read_table(path, ["img name", "tumor type"]).iterrows():
        where = f"{path}, row {row}"
        label = _LETTERS[choice(image["tumor type"], _LETTERS, f"{where}, column tumor type")]
        number = _key(image["img name"], f"{where}, column img name")
        file = files.get(number)
        if file is None:
            yield missing(
                f"case{number}", label, f"{where}, column img name", f"no image of case {number} in Original/"
            )
            continue
        masks = () if options["roi"] == "none" else (path.parent / "GT" / f"{file.stem}_GT.bmp",)
        yield RawImage(
            f"case{number}", label, file, patient=f"case {number}", source_path=file.relative_to(src).as_posix(),
            masks=masks, roi=options["roi"],
        )  # fmt: skip


def _by_number(folder: Path) -> dict[str, Path]:
    """The images by their case number; InputError for a number that two files have."""
    files: dict[str, Path] = {}
    for file in images_below(folder):
        before = files.setdefault(_key(file.stem, str(file)), file)
        if before is not file:
            raise InputError(file, f"the same case as {before.name}", "leave one of them")
    return files


def _key(name: str, where: str) -> str:
    """The number in a name: the table pads it with zeros, the files do not."""
    found = _NUMBER.fullmatch(name)
    if found is None:
        raise InputError(where, f"{name!r} is no case", "write case1, case2, ... as in the archive")
    return found[1]


ROW = Importer(
    describe="breast ultrasound, China, five scanners: 306 benign, 256 malignant",
    unconfirmed=("layout", "licence"),
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="research-only-on-request",
    citation="Zhang et al., Healthcare 10(4):729, 2022",
    source="http://cvprip.cs.usu.edu/busbench",
    iterate=_iterate,
    domain="china",
    positive="malignant",
    classes=CLASSES,
    options={"roi": "none"},
    choices={"roi": ROIS},
    help={"roi": "Crop to the lesion: box, or mask (the same, black outside the lesion); none keeps the whole image."},
    traps="several scanners that the table does not name; one image per case",
)
