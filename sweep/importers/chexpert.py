"""CheXpert: 224,316 chest X-rays from Stanford, findings with an uncertain state, the patient in the path.

python -m sweep.importers chexpert CheXpert-v1.0-small shards/chexpert --finding "Pleural Effusion"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.files import read_table
from sweep.importers.raw import Importer, RawImage

FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
)  # fmt: skip
POLICIES = ("ones", "zeros", "mix", "ignore")
_ONES_IN_MIX = frozenset({"Atelectasis", "Edema"})  # where counting the uncertain as present did best (Irvin et al.)
_TABLES = {"all": ("train.csv", "valid.csv"), "train": ("train.csv",), "valid": ("valid.csv",)}
_EXPECTS = "the folder with train.csv, valid.csv, train/ and valid/ (CheXpert-v1.0-small)"
_PATIENT = re.compile(r"(patient\d+)/")
_STATES = {"": 0, "0": 0, "0.0": 0, "1": 1, "1.0": 1, "-1": -1, "-1.0": -1}


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    finding, policy = options["finding"], options["uncertain"]
    if finding not in FINDINGS:
        raise InputError("finding", f"{finding!r} is unknown", suggestion(finding, FINDINGS))
    for name, allowed in (("uncertain", POLICIES), ("split", _TABLES), ("views", ("frontal", "all"))):
        if options[name] not in allowed:
            raise InputError(name, f"{options[name]!r} is unknown", f"write one of {', '.join(allowed)}")
    for name in _TABLES[options["split"]]:
        path = src / name
        table = read_table(path, ["Path", "Frontal/Lateral", finding])
        for row, image in table.iterrows():
            if options["views"] == "frontal" and image["Frontal/Lateral"] != "Frontal":
                continue
            present = _present(image[finding], finding, policy, f"{path}, row {row}, column {finding}")
            if present is not None:
                yield _raw(src, image["Path"], present, f"{path}, row {row}, column Path")


def _present(state: str, finding: str, policy: str, where: str) -> bool | None:
    """Whether the finding counts as present; None leaves the image out. A blank cell means not mentioned."""
    if state not in _STATES:
        raise InputError(where, f"{state!r} is no state", "write 1.0, 0.0, -1.0 or nothing")
    if _STATES[state] >= 0:
        return _STATES[state] == 1
    if policy == "ignore":
        return None
    return policy == "ones" or (policy == "mix" and finding in _ONES_IN_MIX)


def _raw(src: Path, listed: str, present: bool, where: str) -> RawImage:
    match = _PATIENT.search(listed)
    if match is None:
        raise InputError(where, f"no patient in {listed!r}", "restore the table from the archive")
    # The table's paths begin with the archive's own name, whatever the folder is called here.
    inside = listed.split("/", 1)[1] if listed.startswith("CheXpert") else listed
    return RawImage(
        str(Path(inside).with_suffix("")), "abnormal" if present else "normal", src / inside, patient=match[1],
        source_path=inside,
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
    # uncertain: what a label of -1 counts as; views: frontal or all; split: train, valid or all.
    options={"finding": "Pleural Effusion", "uncertain": "mix", "views": "frontal", "split": "all"},
    traps="uncertain labels; lateral views; a blank is not a zero of the radiologist's; several studies per patient",
)
