"""BUS-UCLM: breast ultrasound from Ciudad Real, one Siemens scanner, 38 patients with several frames each.

python -m sweep.importers bus_uclm BUS-UCLM shards/bus_uclm
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.files import only
from sweep.importers.raw import Importer, RawImage, missing
from sweep.importers.tables import choice, read_table

CLASSES = ("benign", "malignant", "normal")
_EXPECTS = "the folder with INFO.csv (columns Image and Label, separated by semicolons) and images/ (ALWI_000.png ...)"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    path = only(src, "INFO.csv", "INFO.csv and images/")
    for row, image in read_table(path, ["Image", "Label"]).iterrows():
        where = f"{path}, row {row}"
        label = choice(image["Label"], CLASSES, f"{where}, column Label")
        name = Path(image["Image"]).name
        patient, mark, number = Path(name).stem.rpartition("_")
        if not (mark and number.isdecimal()):
            fix = "give the published name, PATIENT_NUMBER.png"
            raise InputError(f"{where}, column Image", f"{image['Image']!r} does not tell a patient", fix)
        file = path.parent / "images" / f"{Path(name).stem}.png"
        if not file.is_file():
            yield missing(file.stem, label, f"{where}, column Image", f"no image {file}")
            continue
        yield RawImage(file.stem, label, file, patient=patient, source_path=file.relative_to(src).as_posix())


ROW = Importer(
    describe="breast ultrasound, Spain: 174 benign, 90 malignant, 419 normal frames of 38 patients",
    compared_with="three published programs that read INFO.csv and images/",
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Vallez et al., Scientific Data 12:242, 2025",
    source="https://doi.org/10.17632/7fvgj4jsp7",
    iterate=_iterate,
    domain="ciudad-real",
    positive="malignant",
    classes=CLASSES,
    traps="frames of a sweep through one breast: split by patient, which the file name gives; some frames are colour Doppler",
)
