"""RSNA Pneumonia Detection Challenge: chest X-rays of ChestX-ray14 as DICOM, pneumonia boxes drawn by radiologists.

python -m sweep.importers rsna_pneumonia rsna-pneumonia-detection-challenge shards/rsna
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.dicom_pixels import read_frame
from sweep.importers.files import only
from sweep.importers.raw import Ignored, Importer, RawImage, missing
from sweep.importers.tables import choice, read_table

CLASSES = ("no pneumonia", "pneumonia")
_LABELS, _DETAILS = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
_FOLDER = "stage_2_train_images"
_EXPECTS = f"the folder with {_LABELS}, {_DETAILS} and {_FOLDER}/ (PATIENTID.dcm ...)"
_NEGATIVES = {"all": "", "normal": "no lung opacity / not normal"}


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    path = only(src, _LABELS, f"{_LABELS} and {_FOLDER}/")
    unwanted = _NEGATIVES[options["negatives"]]
    details = _details(path.parent) if unwanted else {}
    for name, (label, row) in _targets(path).items():
        file = path.parent / _FOLDER / f"{name}.dcm"
        if unwanted and details.get(name) == unwanted:
            yield Ignored(f"{path}, row {row}", "images that are neither normal nor pneumonia", file)
        elif not file.is_file():
            yield missing(name, label, f"{path}, row {row}, column patientId", f"no image {file}")
        else:
            yield RawImage(
                name, label, file, patient=name, source_path=file.relative_to(src).as_posix(),
                read=partial(read_frame, frame=0),
            )  # fmt: skip


def _targets(path: Path) -> dict[str, tuple[str, int]]:
    """Class and first row of every patient: the table has a row per box, so one patient may have several."""
    found: dict[str, tuple[str, int]] = {}
    for row, box in read_table(path, ["patientId", "Target"]).iterrows():
        label = CLASSES[int(choice(box["Target"], ("0", "1"), f"{path}, row {row}, column Target"))]
        first, where = found.setdefault(box["patientId"], (label, row))
        if first != label:
            problem = f"{box['patientId']!r} is {label}, and {first} in row {where}"
            raise InputError(f"{path}, row {row}, column Target", problem, "restore the table from the archive")
    return found


def _details(folder: Path) -> dict[str, str]:
    table = read_table(folder / _DETAILS, ["patientId", "class"])
    return dict(zip(table["patientId"], table["class"].str.lower(), strict=True))


ROW = Importer(
    describe="adults' chest X-rays, NIH, read for pneumonia by radiologists: 26,684 images (extra: dicom)",
    compared_with="published programs that read its tables and DICOM files",
    modality="chest X-ray",
    expects=_EXPECTS,
    licence="RSNA-challenge-terms-of-use",
    citation="Shih et al., Radiology: Artificial Intelligence 1(1):e180041, 2019",
    source="https://www.rsna.org/rsnai/ai-image-challenge/rsna-pneumonia-detection-challenge-2018",
    iterate=_iterate,
    domain="nih-rsna",
    positive="pneumonia",
    classes=CLASSES,
    options={"negatives": "all"},
    choices={"negatives": tuple(_NEGATIVES)},
    help={"negatives": "What counts as no pneumonia: all other images, or only those read as normal."},
    traps="drawn from ChestX-ray14, so its films are in that set too; a row per box, not per image; one image per patient id",
)
