"""CheXpert: 224,316 chest X-rays from Stanford, findings with an uncertain state, the patient in the path.

python -m sweep.importers chexpert CheXpert-v1.0-small shards/chexpert                                # the five competition findings
python -m sweep.importers chexpert CheXpert-v1.0-small shards/effusion --finding "Pleural Effusion"   # two classes
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.files import read_table
from sweep.importers.raw import Importer, RawImage
from sweep.shards.findings import COMPETITION, POLICIES, UNCERTAIN, resolve_uncertain, summary

FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
)  # fmt: skip
_TABLES = {"all": ("train.csv", "valid.csv"), "train": ("train.csv",), "valid": ("valid.csv",)}
_EXPECTS = "the folder with train.csv, valid.csv, train/ and valid/ (CheXpert-v1.0-small)"
_PATIENT = re.compile(r"(patient\d+)/")
_STATES = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0, "-1": UNCERTAIN, "-1.0": UNCERTAIN}
_BLANKS = {"absent": 0.0, "unknown": math.nan}


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    finding = options["finding"]
    if finding and finding not in FINDINGS:
        raise InputError("finding", f"{finding!r} is unknown", suggestion(finding, FINDINGS))
    for name in _TABLES[options["split"]]:
        path = src / name
        columns = [finding] if finding else COMPETITION
        table = read_table(path, ["Path", "Frontal/Lateral", *columns])
        for row, image in table.iterrows():
            if options["views"] == "frontal" and image["Frontal/Lateral"] != "Frontal":
                continue
            states = {**_STATES, "": _BLANKS[options["blank"]]}
            labels = tuple(_state(image[name], states, f"{path}, row {row}, column {name}") for name in columns)
            label = _class(labels, finding, options["uncertain"]) if finding else summary(labels, COMPETITION)
            if label is not None:
                yield _raw(src, image["Path"], label, () if finding else labels, f"{path}, row {row}, column Path")


def _state(cell: str, states: Mapping[str, float], where: str) -> float:
    if cell not in states:
        raise InputError(where, f"{cell!r} is no state", "write 1.0, 0.0, -1.0 or nothing")
    return states[cell]


def _class(labels: tuple[float, ...], finding: str, policy: str) -> str | None:
    """The class of an image in a set of two; None leaves the image out."""
    present = float(resolve_uncertain([labels], policy, [finding])[0, 0])
    return None if math.isnan(present) else ("normal", "abnormal")[int(present)]


def _raw(src: Path, listed: str, label: str, labels: tuple[float, ...], where: str) -> RawImage:
    match = _PATIENT.search(listed)
    if match is None:
        raise InputError(where, f"no patient in {listed!r}", "restore the table from the archive")
    # The table's paths begin with the archive's own name, whatever the folder is called here.
    inside = listed.split("/", 1)[1] if listed.startswith("CheXpert") else listed
    return RawImage(
        str(Path(inside).with_suffix("")), label, src / inside, patient=match[1], source_path=inside, labels=labels,
    )  # fmt: skip


ROW = Importer(
    describe="chest X-rays, Stanford: 224,316 images of 65,240 patients",
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
    # train, valid or all.
    options={"finding": "", "uncertain": "mix", "blank": "absent", "views": "frontal", "split": "all"},
    choices={"uncertain": POLICIES, "blank": tuple(_BLANKS), "views": ("frontal", "all"), "split": tuple(_TABLES)},
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
