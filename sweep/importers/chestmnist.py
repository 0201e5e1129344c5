"""ChestMNIST: the MedMNIST version of ChestX-ray14, 28 to 224 pixels, with all fourteen findings of each image.

python -m sweep.importers chestmnist chestmnist_128.npz shards/chestmnist
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError
from sweep.importers.medmnist import SPLITS, ArrayHeader, Label, images_of, present_or_absent, total
from sweep.importers.raw import Importer, RawImage
from sweep.shards.findings import summary

# In the order of the columns of the published labels, by the names of chestxray14.
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    def check(labels: ArrayHeader) -> None:
        if labels.columns != len(FINDINGS):
            problem = f"{labels.columns} labels an image, ChestMNIST has {len(FINDINGS)}"
            raise InputError(src, problem, "import other sets of the collection with medmnist")

    return images_of(src, options, check, lambda row: _labelled(src, row))


def _labelled(src: Path, row: np.ndarray) -> Label:
    present_or_absent(src, row)
    labels = tuple(float(value > 0) for value in row)
    return summary(labels, FINDINGS), labels


ROW = Importer(
    describe="chest X-rays of the NIH as MedMNIST publishes them: 112,120 images, 14 findings",
    compared_with="the table of labels in the package medmnist",
    modality="chest X-ray",
    expects="chestmnist.npz or chestmnist_64.npz, _128.npz, _224.npz, as MedMNIST publishes it",
    licence="CC-BY-4.0",
    citation="Yang et al., Scientific Data 10:41, 2023",
    source="https://doi.org/10.5281/zenodo.10519652",
    iterate=_iterate,
    domain="nih",
    options={"split": "all"},
    choices={"split": ("all", *SPLITS)},
    help={"split": "Which of the published splits to read."},
    findings=lambda options: FINDINGS,
    total=total,
    traps="no patients, though one person may have many films; labels mined from text",
)
