"""UDIAT (Dataset B): breast ultrasound from Sabadell, one lesion per image, masks in GT/.

python -m sweep.importers udiat BUS shards/udiat
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.importers.files import only
from sweep.importers.raw import Importer, RawImage, missing
from sweep.importers.roi import ROIS
from sweep.importers.tables import choice, read_table

CLASSES = ("benign", "malignant")
_EXPECTS = "the folder with DatasetB.xlsx (columns Image and Type), original/ (000001.png ...) and GT/"
_DIGITS = 6  # of a file name; the spreadsheet may hold the number alone


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    path = only(src, "DatasetB.xlsx", "DatasetB.xlsx, original/ and GT/")
    for row, image in read_table(path, ["Image", "Type"]).iterrows():
        where = f"{path}, row {row}"
        label = choice(image["Type"], CLASSES, f"{where}, column Type")
        name = image["Image"].removesuffix(".png").removesuffix(".0").zfill(_DIGITS)
        file = path.parent / "original" / f"{name}.png"
        if not file.is_file():
            yield missing(name, label, f"{where}, column Image", f"no image {file}")
            continue
        masks = () if options["roi"] == "none" else (path.parent / "GT" / f"{name}.png",)
        yield RawImage(
            name, label, file, source_path=file.relative_to(src).as_posix(), masks=masks, roi=options["roi"]
        )  # fmt: skip


ROW = Importer(
    describe="breast ultrasound, Spain (Dataset B): 109 benign, 54 malignant",
    unconfirmed=("layout",),
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="research-only-by-agreement",
    citation="Yap et al., IEEE JBHI 22(4):1218-1226, 2018",
    source="https://helward.mmu.ac.uk/STAFF/M.Yap/dataset.php",
    iterate=_iterate,
    domain="sabadell",
    positive="malignant",
    classes=CLASSES,
    options={"roi": "none"},
    choices={"roi": ROIS},
    help={"roi": "Crop to the lesion: box, or mask (the same, black outside the lesion); none keeps the whole image."},
    traps="no patient ids; the data set is given on request and must not be passed on",
)
