"""Brain tumour MRI in four classes, Training/ and Testing/ folders.

python -m sweep.importers brain4 brain-tumor-mri shards/brain4
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.importers.class_folders import images_by_folder
from sweep.importers.files import images_below, inner_folder
from sweep.importers.raw import Ignored, Importer, RawImage

# The two published editions name their folders differently.
FOLDERS = {
    "no tumor": ("notumor", "no_tumor"),
    "glioma": ("glioma", "glioma_tumor"),
    "meningioma": ("meningioma", "meningioma_tumor"),
    "pituitary": ("pituitary", "pituitary_tumor"),
}
_SPLITS = ("Training", "Testing")
_EXPECTS = "the folder with Training/ and Testing/, each with glioma/, meningioma/, notumor/ and pituitary/"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    src = inner_folder(src, _SPLITS)
    for split in _SPLITS:
        if options["split"] not in ("all", split):
            for path in images_below(src / split):
                yield Ignored(f"{split}/{path.name}", "images of the other split", path)
            continue
        yield from images_by_folder(src / split, FOLDERS, _EXPECTS, prefix=f"{split}/")


ROW = Importer(
    describe="brain MRI slices: glioma, meningioma, pituitary tumour or none",
    modality="brain MRI",
    expects=_EXPECTS,
    licence="CC0-1.0",
    citation="Nickparvar, Brain Tumor MRI Dataset, 2021, doi:10.34740/kaggle/dsv/2645886",
    source="https://doi.org/10.34740/kaggle/dsv/2645886",
    iterate=_iterate,
    domain="brain4",
    classes=tuple(FOLDERS),
    options={"split": "all"},  # or one of the published folders
    choices={"split": ("all", *_SPLITS)},
    help={"split": "Which of the published splits to read."},
    traps="merged from three sources without patients: slices of one patient lie on both sides of the split",
)
