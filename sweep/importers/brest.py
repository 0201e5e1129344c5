"""BrEaST: breast ultrasound from Poland, PNG in one folder and a spreadsheet with the classification.

python -m sweep.importers brest BrEaST shards/brest
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.importers.files import FilesByName, choice, only, read_table
from sweep.importers.raw import Ignored, Importer, RawImage, missing
from sweep.importers.roi import NO_LESION, ROIS, masks_beside

CLASSES = ("benign", "malignant", "normal")
_EXPECTS = "the folder with the clinical spreadsheet (.xlsx) and the images (case001.png ...) below it"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    spreadsheet = only(src, "*.xlsx", "the spreadsheet and the images")
    table = read_table(spreadsheet, ["CaseID", "Image_filename", "Classification"])
    # The spreadsheet says which files are images: masks (case001_tumor.png) are never listed in this column.
    files, roi = FilesByName(src, "*.png"), options["roi"]
    for row, case in table.iterrows():
        where = f"{spreadsheet}, row {row}"
        name = case["Image_filename"]
        label = choice(case["Classification"], CLASSES, f"{where}, column Classification")
        path = files.find(name, f"{where}, column Image_filename")
        if path is None:
            yield missing(Path(name).stem, label, f"{where}, column Image_filename", f"no image {name!r} below {src}")
            continue
        if roi != "none" and label == "normal":
            yield Ignored(path.relative_to(src).as_posix(), NO_LESION, path, label)
            continue
        masks = () if roi == "none" else masks_beside(path, "{stem}_tumor*.png")
        yield RawImage(
            path.stem, label, path, patient=f"case {case['CaseID']}", source_path=path.relative_to(src).as_posix(),
            masks=masks, roi=roi,
        )  # fmt: skip


ROW = Importer(
    describe="breast ultrasound, Poland: 154 benign, 98 malignant, 4 normal",
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Pawlowska et al., Scientific Data 11:148, 2024",
    source="https://doi.org/10.7937/9WKK-Q141",
    iterate=_iterate,
    domain="poland",
    positive="malignant",
    classes=CLASSES,
    options={"roi": "none"},  # box: crop to the lesion; mask: the same, black outside of it
    choices={"roi": ROIS},
    help={"roi": "Crop to the lesion: box, or mask (the same, black outside the lesion); none keeps the whole image."},
    traps="transparent areas; a blue tint in some frames; four normal scans that some count as malignant",
)
