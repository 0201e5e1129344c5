"""A folder, table or shard folder -> the importer that reads it, its options, and what is believed about patients and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.dicom_header import is_dicom
from sweep.importers.files import read_table
from sweep.importers.raw import Importer, RawImage
from sweep.importers.table import IMPORTERS
from sweep.importers.walk import images_below, is_file, listing
from sweep.proposal.patients import MOST_CLASSES, by_pattern, label_column, path_column, patient_column

GENERAL = ("dicom", "csv", "folder", "volumes")  # layouts of any clinic; every other importer reads one published set
SUFFIXES = (".csv", ".tsv", ".xlsx")
_LOOKED_AT = 50  # files by which a folder is judged to be one of DICOM files
_FIRST = 3  # images that a published layout must yield to be believed
SOURCE, TARGET = ROLES = ("source", "target")
_NO_PATIENTS = "patients: none recognised. If there are several images of a patient, say which (--patient-regex, --patients or --patient-column): "
_NO_PATIENTS_COST = {
    SOURCE: "otherwise they may lie on both sides of the split, and every score on the source is too good. "
    "Near-duplicates are kept together in any case.",
    TARGET: "otherwise each image counts as a patient, and the intervals on the target are too narrow.",
}
_RISK = {
    SOURCE: "If that is wrong: images of one patient counted as several leak between training and test, and every score on the source is too good; "
    "different patients counted as one only make the folds coarser.",
    TARGET: "If that is wrong: images of one patient counted as several make the intervals on the target too narrow; "
    "different patients counted as one make them too wide.",
}


@dataclass(frozen=True)
class Layout:
    """An importer with its options, why it is believed to fit, the other importers that would fit too, and whether there are labels."""

    importer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def unlabelled(self) -> bool:
        """Whether the images come without labels."""
        return bool(self.options.get("unlabelled"))


def layout_of(
    src: Path, asked: str | None = None, given: Mapping[str, Any] | None = None, role: str = SOURCE
) -> Layout:
    """The layout of `src`; `asked` names the importer where the user has decided, `given` are options of the user.

    Of these the layout takes those that its importer has: the other hospital may need another importer. By its `role` the lines say
    what wrong patients would cost: source images are split into folds, target images are only tested.

    Raises InputError when nothing fits, with what was tried.
    """
    given = dict(given or {})
    if not src.exists():
        raise InputError(src, "there is no such file or folder", "give a folder of images, a table, or a shard folder")
    if asked is not None:
        if asked not in IMPORTERS:
            raise InputError("--importer", f"{asked!r} is unknown", suggestion(asked, IMPORTERS))
        return _general(src, asked, given, role)
    published = [
        name for name, row in IMPORTERS.items() if row.needs_source and name not in GENERAL and _fits(row, src)
    ]
    if published:
        name = published[0]
        lines = (f"importer: {name} ({IMPORTERS[name].describe})", f"patients: as {name} publishes them")
        return Layout(name, _own(name, given), lines, tuple(published[1:]))
    return _general(src, _kind(src), given, role)


def _fits(row: Importer, src: Path) -> bool:
    """Whether a published layout yields images from `src`: each importer refuses what is not its own."""
    options = {**row.options, "depth": None, "accept": ()}
    try:
        first = list(islice((event for event in row.iterate(src, options) if isinstance(event, RawImage)), _FIRST))
    except (InputError, OSError, UnicodeDecodeError):
        return False
    return len(first) == _FIRST and all(image.bad is None for image in first)


def _kind(src: Path) -> str:
    if is_file(src):
        if src.suffix.lower() in SUFFIXES:
            return "csv"
        raise InputError(src, "a single file that is no table", f"give its folder, or a table ({', '.join(SUFFIXES)})")
    files = listing(src).files
    if any(_dicom(path) for path in files[:_LOOKED_AT]):
        return "dicom"
    if next(images_below(src), None) is None:
        raise InputError(
            src, f"no image among {len(files)} files", "give the folder with the images, or name --importer"
        )
    return "folder"


def _dicom(path: Path) -> bool:
    try:
        return path.suffix.lower() in (".dcm", ".dicom", ".ima") or is_dicom(path)
    except OSError:
        return False


def _own(importer: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the user's options that the importer has."""
    return {name: value for name, value in given.items() if name in IMPORTERS[importer].options}


def _general(src: Path, kind: str, given: Mapping[str, Any], role: str) -> Layout:
    given = _own(kind, given)
    made = {"csv": _table, "folder": _folder, "dicom": _dicom_folder}
    return made[kind](src, given, role) if kind in made else Layout(kind, given, (f"importer: {kind}, as asked",))


def _folder(src: Path, given: dict[str, Any], role: str) -> Layout:
    images = list(images_below(src))
    classes = sorted({path.relative_to(src).parts[0] for path in images if len(path.relative_to(src).parts) > 1})
    flat = any(len(path.relative_to(src).parts) == 1 for path in images)
    unlabelled = flat or not 2 <= len(classes) <= MOST_CLASSES
    lines = [
        f"importer: folder ({len(images)} images"
        + (")" if unlabelled else f", one subfolder a class: {', '.join(classes[:6])})")
    ]
    if unlabelled:
        lines.append(_no_labels(len(classes)))
    options: dict[str, Any] = {"unlabelled": True} if unlabelled else {}
    if "patients" in given or "patient_regex" in given:
        lines.append("patients: as asked")
    else:
        guess = by_pattern([path.name for path in images])
        if guess.value:
            options["patient_regex"] = guess.value
            lines += [
                f"patients: {guess.patients}, by the file names ({guess.example}; --patient-regex '{guess.value}')",
                _RISK[role],
            ]
        else:
            lines.append(_NO_PATIENTS + _NO_PATIENTS_COST[role])
    return Layout("folder", options | given, tuple(lines))


def _no_labels(folders: int) -> str:
    if folders > MOST_CLASSES:
        return f"labels: none, as {folders} subfolders are too many for classes; if the labels stand in a table, give the table"
    return "labels: none, as there are no class subfolders"


def _table(src: Path, given: dict[str, Any], role: str) -> Layout:
    table = read_table(src, [])
    columns = {str(name): table[name].astype(str).tolist() for name in table.columns}
    root = Path(given["root"]) if given.get("root") else src.parent
    path = given.get("path_column") or next(iter(_leading_to_files(columns, root)), "")
    if not path:
        raise InputError(
            src, f"no column of {', '.join(columns)} leads to files below {root}", "give --root or --path-column"
        )
    label = given.get("label_column") or label_column(columns)
    guess = patient_column(columns)
    options: dict[str, Any] = {"path_column": path, **({"label_column": label} if label else {"unlabelled": True})}
    lines = [
        f"importer: csv ({len(table)} rows; paths in column {path!r}, {f'labels in {label!r}' if label else 'no column of labels'})"
    ]
    if "patient_column" in given:
        lines.append("patients: as asked")
    elif guess.value:
        options["patient_column"] = guess.value
        lines += [f"patients: {guess.patients}, by the column {guess.value!r} ({guess.example})", _RISK[role]]
    else:
        lines.append(_NO_PATIENTS + _NO_PATIENTS_COST[role])
    return Layout("csv", options | given, tuple(lines))


def _leading_to_files(columns: Mapping[str, list[str]], root: Path) -> Iterator[str]:
    for name in path_column(columns):
        values = [value for value in columns[name] if value][:_LOOKED_AT]
        if values and all(is_file(root / value) for value in values):
            yield name


def _dicom_folder(src: Path, given: dict[str, Any], role: str) -> Layout:
    inner = [path for path in src.iterdir() if path.is_dir() and not path.name.startswith(".")]
    unlabelled = not 2 <= len(inner) <= MOST_CLASSES and not given.get("table")
    lines = ["importer: dicom", "patients: by the headers' patient id, hashed with a key", _RISK[role]]
    if unlabelled:
        lines.append(_no_labels(len(inner)))
    return Layout("dicom", ({"unlabelled": True} if unlabelled else {}) | given, tuple(lines))
