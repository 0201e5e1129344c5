"""VinDr-CXR: chest X-rays from two hospitals in Hanoi as DICOM, findings of three radiologists (training) or their consensus (test).

python -m sweep.importers vindr_cxr vindr-cxr/1.0.0 shards/vindr                    # every finding, training part
python -m sweep.importers vindr_cxr vindr-cxr/1.0.0 shards/vindr_test --part test
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.core.errors import InputError
from sweep.importers.dicom_pixels import read_frame
from sweep.importers.files import only
from sweep.importers.raw import Importer, RawImage, missing
from sweep.importers.tables import read_table
from sweep.shards.findings import summary

FINDINGS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases",
)  # fmt: skip
_RENAMED = {"Other disease": "Other diseases"}  # in the table of the test part
_PARTS = ("train", "test")
_EXPECTS = "the folder with annotations/image_labels_train.csv (or _test.csv) and train/ (or test/) with IMAGEID.dicom"
_MAJORITY = 0.5  # of the readers of an image


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    part = options["part"]
    path = only(src, f"image_labels_{part}.csv", f"annotations/ and {part}/")
    table = read_table(path, ["image_id"]).rename(columns=_RENAMED)
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    for name, labels in _consensus(table, path).items():
        file, label = root / part / f"{name}.dicom", summary(labels, FINDINGS)
        if not file.is_file():
            yield missing(name, label, f"{path}, image {name}", f"no image {file}")
            continue
        yield RawImage(
            name, label, file, source_path=file.relative_to(src).as_posix(), labels=labels,
            read=partial(read_frame, frame=0),
        )  # fmt: skip


def _consensus(table: pd.DataFrame, path: Path) -> dict[str, tuple[float, ...]]:
    """Labels of every image: 1 where most of its readers marked a finding, else 0."""
    lacking = [name for name in FINDINGS if name not in table]
    if lacking:
        raise InputError(f"{path}, row 1", f"no column {lacking[0]!r}", "restore the table from the archive")
    marks = table[list(FINDINGS)].apply(pd.to_numeric, errors="coerce")
    wrong = ~marks.isin([0, 1])
    if wrong.to_numpy().any():
        row, column = np.argwhere(wrong.to_numpy())[0]
        where = f"{path}, row {table.index[row]}, column {FINDINGS[column]}"
        raise InputError(where, f"{table[FINDINGS[column]].iloc[row]!r} is neither 0 nor 1", "restore the table")
    shares = marks.groupby(table["image_id"], sort=False).mean() > _MAJORITY
    return {str(name): tuple(map(float, row)) for name, row in zip(shares.index, shares.to_numpy(), strict=True)}


ROW = Importer(
    describe="adults' chest X-rays, Vietnam: 18,000 images, 27 findings (extra: dicom)",
    compared_with="published programs that read annotations/ and train/IMAGEID.dicom",
    modality="chest X-ray",
    expects=_EXPECTS,
    licence="PhysioNet-Credentialed-Health-Data-1.5.0",
    citation="Nguyen et al., Scientific Data 9:429, 2022",
    source="https://doi.org/10.13026/3akn-b287",
    iterate=_iterate,
    domain="hanoi",
    findings=lambda options: FINDINGS,
    options={"part": "train"},
    choices={"part": _PARTS},
    help={
        "part": "Which published part to read: train (three readers, their majority) or test (five readers' consensus)."
    },
    traps="no patient ids; the training table has three rows per image, one per reader",
)
