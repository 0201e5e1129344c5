"""IQ-OTH/NCCD: lung CT slices from Baghdad in three case folders.

python -m sweep.importers iqothnccd "The IQ-OTHNCCD lung cancer dataset" shards/iqothnccd
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.importers.case_runs import HELP, with_cases
from sweep.importers.class_folders import images_by_folder
from sweep.importers.raw import Ignored, Importer, RawImage

# "Bengin" is the archive's own spelling.
FOLDERS = {
    "benign": ("Bengin cases", "Benign cases"),
    "malignant": ("Malignant cases",),
    "normal": ("Normal cases",),
}
_WITHOUT_CLASS = ("Test cases",)
_INNER = "The IQ-OTHNCCD lung cancer dataset"
_EXPECTS = "the folder with Bengin cases/, Malignant cases/ and Normal cases/"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    return with_cases(_images(src), options["cases"])


def _images(src: Path) -> Iterator[RawImage | Ignored]:
    root = src / _INNER if (src / _INNER).is_dir() else src
    return images_by_folder(root, FOLDERS, _EXPECTS, known=_WITHOUT_CLASS)


def _total(src: Path, options: Mapping[str, Any]) -> int:
    """Images without grouping them, which would decode each once more."""
    return sum(isinstance(image, RawImage) for image in _images(src))


ROW = Importer(
    describe="lung CT slices, Iraq: 1,097 images of 110 cases",
    modality="lung CT",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Alyasriy and AL-Huseiny, Mendeley Data, V4, 2023",
    source="https://doi.org/10.17632/bhmdr45bh2.4",
    iterate=_iterate,
    total=_total,
    grouped_by=lambda options: {"similar": "runs of similar slices", "none": ""}.get(options["cases"], ""),
    domain="baghdad",
    positive="malignant",
    classes=tuple(FOLDERS),
    options={"cases": "similar"},
    help={"cases": HELP},
    path_options=("cases",),
    traps="slices of one case are spread over files without a case number; read with normals: keep or benign",
)
