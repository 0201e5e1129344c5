"""ChestX-ray14: 112,120 frontal chest X-rays of the NIH, findings mined from reports, patients known.

python -m sweep.importers chestxray14 CXR8 shards/nih                         # fourteen findings
python -m sweep.importers chestxray14 CXR8 shards/nih --findings competition  # CheXpert's five, under its names
python -m sweep.importers chestxray14 CXR8 shards/nih --finding Effusion      # two classes; or --finding any
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.files import FilesByName, read_table, read_words
from sweep.importers.raw import Ignored, Importer, RawImage, missing
from sweep.shards.findings import COMPETITION, summary

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
_TABLE = "Data_Entry_2017.csv"
_EXPECTS = f"the folder with {_TABLE}, images*/ and, for a split, train_val_list.txt and test_list.txt"
_ANY = "any"  # some finding against none
_LABELS = {
    "all": {name: name for name in FINDINGS},
    "competition": {name: name.removeprefix("Pleural ") for name in COMPETITION},
}  # ours -> the table's
_LISTS = {"all": "", "train_val": "train_val_list.txt", "test": "test_list.txt"}


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    return images_of_table(src, _table(src), options)


def images_of_table(src: Path, path: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    """The images below `src` that the NIH's table at `path` lists, labelled as `options` say."""
    finding, columns = options["finding"], _LABELS[options["findings"]]
    if finding and finding not in (*FINDINGS, _ANY):
        raise InputError("finding", f"{finding!r} is unknown", suggestion(finding, (*FINDINGS, _ANY)))
    table = read_table(path, ["Image Index", "Finding Labels", "Patient ID"])
    wanted = _listed(src, options.get("split", "all"))
    files = FilesByName(src, "*.png")
    for row, image in table.iterrows():
        name = image["Image Index"]
        where = f"{path}, row {row}"
        if wanted is not None and name not in wanted:
            yield Ignored(where, "images of other published lists", files.find(name, where))
            continue
        found = _found(image["Finding Labels"], where)
        labels = () if finding else tuple(float(column in found) for column in columns.values())
        label = _class(found, finding) if finding else summary(labels, tuple(columns))
        file = files.find(name, f"{where}, column Image Index")
        if file is None:
            yield missing(Path(name).stem, label, f"{where}, column Image Index", f"no image {name!r} below {src}")
            continue
        yield RawImage(
            Path(name).stem,
            label,
            file,
            patient=image["Patient ID"],
            source_path=file.relative_to(src).as_posix(),
            labels=labels,
        )


def _table(src: Path) -> Path:
    for name in (_TABLE, "Data_Entry_2017_v2020.csv"):
        if (src / name).is_file():
            return src / name
    raise InputError(src / _TABLE, "there is no such file", f"expects {_EXPECTS}")


def _listed(src: Path, split: str) -> set[str] | None:
    """The names on an official patient list; None for all images."""
    if split == "all":
        return None
    path = src / _LISTS[split]
    if not path.is_file():
        raise InputError(path, "there is no such file", "download the official lists, or use --split all")
    return read_words(path)


def _found(cell: str, where: str) -> set[str]:
    """The findings of a cell like Effusion|Mass."""
    found = set(cell.split("|"))
    unknown = found - {*FINDINGS, "No Finding"}
    if unknown:
        raise InputError(
            f"{where}, column Finding Labels",
            f"{sorted(unknown)[0]!r} is no finding",
            suggestion(sorted(unknown)[0], FINDINGS),
        )
    return found - {"No Finding"}


def _class(found: set[str], wanted: str) -> str:
    return "abnormal" if (found if wanted == _ANY else wanted in found) else "normal"


ROW = Importer(
    describe="adults' chest X-rays, NIH: 112,120 images, 14 findings",
    modality="chest X-ray",
    expects=_EXPECTS,
    licence="NIH-CC-no-restriction",
    citation="Wang et al., CVPR 2017, pp. 3462-3471",
    source="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    iterate=_iterate,
    domain="nih",
    positive="abnormal",
    classes=("normal", "abnormal"),
    # finding: one against the rest, or any against none, makes two classes; without, each of `findings` is a label of its
    # own: all, or those of CheXpert's competition; split: all, or an official list.
    options={"finding": "", "findings": "all", "split": "all"},
    choices={"findings": tuple(_LABELS), "split": tuple(_LISTS)},
    help={
        "finding": "Import this one finding (any: some finding) as two classes, normal and abnormal; empty: all findings as labels of each image.",
        "findings": "Which findings are labels: all fourteen, or the five that CheXpert competes on.",
        "split": "Which of the published splits to read.",
    },
    findings=lambda options: () if options["finding"] else tuple(_LABELS.get(options["findings"], ())),
    traps="some RGBA files; labels mined from text; up to 184 films of one patient, so split by patient",
)
