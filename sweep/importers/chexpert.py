"""CheXpert: 224,316 chest X-rays from Stanford, findings with an uncertain state, the patient in the path.

python -m sweep.importers chexpert CheXpert-v1.0-small shards/chexpert                                # the five competition findings
python -m sweep.importers chexpert CheXpert-v1.0-small shards/effusion --finding "Pleural Effusion"   # two classes
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.core.errors import InputError, suggestion
from sweep.importers.files import inner_folder, read_table
from sweep.importers.raw import Ignored, Importer, RawImage
from sweep.shards.findings import COMPETITION, POLICIES, UNCERTAIN, resolve_uncertain, summary

FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
)  # fmt: skip
# The official test set came later, and its table is called differently from release to release.
_TABLES = {
    "train": ("train.csv",),
    "valid": ("valid.csv", "val_labels.csv"),
    "test": ("test.csv", "test_labels.csv", "groundtruth.csv"),
}
_SPLITS = ("all", *_TABLES)
_EXPECTS = "the folder with train.csv or valid.csv, and train/ and valid/ beside it (CheXpert-v1.0-small)"
_PLACE = re.compile(r"(?:^|/)((?:train|valid|val|test)/(patient\d+)/[^\\]+)$")
_STATES = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0, "-1": UNCERTAIN, "-1.0": UNCERTAIN}
_BLANKS = {"absent": 0.0, "unknown": math.nan}
_VIEW = "Frontal/Lateral"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    finding = options["finding"]
    if finding and finding not in FINDINGS:
        raise InputError("finding", f"{finding!r} is unknown", suggestion(finding, FINDINGS))
    src = _with_tables(src)
    columns: Sequence[str] = [finding] if finding else COMPETITION
    for path in _tables(src, options["split"]):
        table = read_table(path, ["Path", *columns])
        for row, image in table.iterrows():
            where = f"{path}, row {row}"
            raw = _raw(src, image["Path"], f"{where}, column Path")
            if options["views"] == "frontal" and not _is_frontal(image, where):
                yield Ignored(where, "lateral views", raw.path)
                continue
            states = {**_STATES, "": _BLANKS[options["blank"]]}
            labels = tuple(_state(image[name], states, f"{where}, column {name}") for name in columns)
            label = _class(labels, finding, options["uncertain"]) if finding else summary(labels, COMPETITION)
            if label is None:
                yield Ignored(where, f"images whose {finding} is uncertain or not known", raw.path)
                continue
            yield replace(raw, label=label, labels=() if finding else labels)


def _with_tables(src: Path) -> Path:
    """`src`, or the one folder inside of it that has the tables."""
    for name in (name for names in _TABLES.values() for name in names):
        found = inner_folder(src, [name])
        if (found / name).is_file():
            return found
    raise InputError(src, f"none of {', '.join(names[0] for names in _TABLES.values())} in it", f"expects {_EXPECTS}")


def _tables(src: Path, split: str) -> list[Path]:
    """The tables of a split, or of all splits that are there."""
    wanted = tuple(_TABLES) if split == "all" else (split,)
    found = [next((src / name for name in _TABLES[part] if (src / name).is_file()), None) for part in wanted]
    if split != "all" and found == [None]:
        raise InputError(src / _TABLES[split][0], "there is no such file", f"use another --split; expects {_EXPECTS}")
    return [path for path in found if path is not None]


def _is_frontal(image: pd.Series, where: str) -> bool:
    """By the column, or by the file's name (view1_frontal.jpg) in tables without it."""
    said = str(image.get(_VIEW, "")) or ("Frontal" if "frontal" in image["Path"].lower() else "")
    if not said and "lateral" not in image["Path"].lower():
        raise InputError(where, f"no column {_VIEW!r}, and no view in the file name", "import with --views all")
    return said.lower() == "frontal"


def _state(cell: str, states: Mapping[str, float], where: str) -> float:
    if cell not in states:
        raise InputError(where, f"{cell!r} is no state", "write 1.0, 0.0, -1.0 or nothing")
    return states[cell]


def _class(labels: tuple[float, ...], finding: str, policy: str) -> str | None:
    """The class of an image in a set of two; None leaves the image out."""
    present = float(resolve_uncertain(np.array([labels]), policy, [finding])[0, 0])
    return None if math.isnan(present) else ("normal", "abnormal")[int(present)]


def _raw(src: Path, listed: str, where: str) -> RawImage:
    """The image of a row, without its label; paths in the table begin with folders of the archive's own."""
    match = _PLACE.search(listed)
    if match is None or ".." in listed.split("/"):
        raise InputError(where, f"no patient in {listed!r}", "restore the table from the archive")
    inside = match[1]
    return RawImage(str(Path(inside).with_suffix("")), "", src / inside, patient=match[2], source_path=inside)


ROW = Importer(
    describe="chest X-rays, Stanford: 224,316 images of 65,240 patients",
    modality="chest X-ray",
    expects=_EXPECTS,
    licence="Stanford-research-use",
    citation="Irvin et al., AAAI 2019, pp. 590-597",
    source="https://stanfordmlgroup.github.io/competitions/chexpert",
    iterate=_iterate,
    domain="stanford",
    positive="abnormal",
    classes=("normal", "abnormal"),
    # finding: one makes two classes, none keeps the five of the competition; uncertain: what -1 counts as in two classes (of
    # five it is kept, and the hyperparameter `uncertain` decides); blank: absent or unknown; views: frontal or all; split:
    # train, valid, test, or all that are there.
    options={"finding": "", "uncertain": "mix", "blank": "absent", "views": "frontal", "split": "all"},
    choices={"uncertain": POLICIES, "blank": tuple(_BLANKS), "views": ("frontal", "all"), "split": _SPLITS},
    help={
        "finding": "Import this one finding as two classes, normal and abnormal; empty: all findings as labels of each image.",
        "uncertain": "What an uncertain label counts as, where one finding is imported.",
        "blank": "What an empty cell means: the finding is absent, or not known.",
        "views": "Which views to read.",
        "split": "Which of the published splits to read.",
    },
    findings=lambda options: () if options["finding"] else COMPETITION,
    traps="uncertain labels; lateral views; a blank is not a zero of the radiologist's; several studies per patient",
)
