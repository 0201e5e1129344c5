"""BUSI: breast ultrasound from Cairo, PNG in class folders with the masks among the images.

python -m sweep.importers busi Dataset_BUSI_with_GT shards/busi
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.class_folders import other_folders
from sweep.importers.files import images_below, inner_folder
from sweep.importers.raw import Ignored, Importer, RawImage
from sweep.importers.roi import NO_LESION, ROIS, masks_beside

CLASSES = ("benign", "malignant", "normal")
_EXPECTS = "the folder with benign/, malignant/ and normal/ (Dataset_BUSI_with_GT)"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    inner = src / "Dataset_BUSI_with_GT"
    src = inner if inner.is_dir() else inner_folder(src, CLASSES)
    for label in CLASSES:
        if not (src / label).is_dir():
            raise InputError(src / label, "there is no such folder", f"expects {_EXPECTS}")
    roi = options["roi"]
    yield from other_folders(src, CLASSES, _EXPECTS)
    for label in CLASSES:
        images = list(images_below(src / label))
        if not images:
            raise InputError(src / label, "the folder holds no image", "restore it from the archive")
        for path in images:
            if roi != "none" and label == "normal":
                yield Ignored(path.relative_to(src).as_posix(), NO_LESION, path, label)
                continue
            masks = () if roi == "none" else masks_beside(path, "{stem}_mask*.png")
            yield RawImage(path.stem, label, path, source_path=path.relative_to(src).as_posix(), masks=masks, roi=roi)


ROW = Importer(
    describe="breast ultrasound, Egypt: 437 benign, 210 malignant, 133 normal",
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Al-Dhabyani et al., Data in Brief 28:104863, 2020",
    source="https://doi.org/10.1016/j.dib.2019.104863",
    iterate=_iterate,
    domain="egypt",
    positive="malignant",
    classes=CLASSES,
    options={"roi": "none"},  # box: crop to the lesion; mask: the same, black outside of it
    choices={"roi": ROIS},
    help={"roi": "Crop to the lesion: box, or mask (the same, black outside the lesion); none keeps the whole image."},
    traps="no patient ids; masks beside images; benign (433) equals malignant (145); many near-duplicates",
)
