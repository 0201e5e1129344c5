"""BUS-BRA: breast ultrasound from Rio de Janeiro on four scanners, biopsy-proven, several images per patient.

python -m sweep.importers busbra BUSBRA shards/busbra
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.busbra_folds import HELP, partition_ids
from sweep.importers.files import choice, only, read_table
from sweep.importers.raw import Ignored, Importer, RawImage, missing
from sweep.importers.roi import ROIS

CLASSES = ("benign", "malignant")
_EXPECTS = "the folder with Images/ (bus_0001-l.png ...) and bus_data.csv"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    path = only(src, "bus_data.csv", "Images/ and bus_data.csv")
    table = read_table(path, ["ID", "Case", "Pathology", "Device"])
    device, roi = options["device"], options["roi"]
    wanted = partition_ids(path.parent, options["partition"])
    if device and device not in set(table["Device"]):
        raise InputError("device", f"no image of {device!r} in {path}", suggestion(device, set(table["Device"])))
    for row, image in table.iterrows():
        file = path.parent / "Images" / f"{image['ID']}.png"
        if device and image["Device"] != device:
            yield Ignored(f"{path}, row {row}", "images of other scanners", file)
            continue
        if wanted is not None and image["ID"] not in wanted:
            yield Ignored(f"{path}, row {row}", "images of other parts of the partition", file)
            continue
        label = choice(image["Pathology"], CLASSES, f"{path}, row {row}, column Pathology")
        if not file.is_file():
            yield missing(image["ID"], label, f"{path}, row {row}, column ID", f"no image {file}")
            continue
        yield RawImage(
            image["ID"], label, file, patient=f"case {image['Case']}", domain=image["Device"],
            source_path=file.relative_to(src).as_posix(), masks=_masks(path.parent, image["ID"], roi), roi=roi,
        )  # fmt: skip


def _masks(root: Path, image_id: str, roi: str) -> tuple[Path, ...]:
    return () if roi == "none" else (root / "Masks" / f"{image_id.replace('bus', 'mask', 1)}.png",)


ROW = Importer(
    describe="breast ultrasound, Brazil, four scanners: 1,875 images of 1,064 patients",
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Gomez-Flores et al., Medical Physics 51(4):3110-3123, 2024",
    source="https://doi.org/10.5281/zenodo.8231412",
    iterate=_iterate,
    domain="brazil",
    positive="malignant",
    classes=CLASSES,
    # device: only the images of this scanner, by its name in the column Device; roi: box crops to the lesion, mask
    # blackens what lies outside of it too.
    options={"device": "", "roi": "none", "partition": ""},
    choices={"roi": ROIS},
    help={
        "partition": HELP,
        "device": "Only the images of this scanner, as the table names it; empty: all.",
        "roi": "Crop to the lesion: box, or mask (the same, black outside the lesion); none keeps the whole image.",
    },
    traps="masks in Masks/ are not read; both views of a lesion belong to one patient; the scanner is the domain",
)
