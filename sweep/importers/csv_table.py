"""Any table with one row per image: path and label, optionally patient and domain.

python -m sweep.importers csv images.csv shards/mine --path-column file --label-column diagnosis --patient-column id
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.files import read_table
from sweep.importers.raw import Importer, RawImage, missing
from sweep.importers.spelling import check_spellings, means_nothing
from sweep.importers.walk import is_file

_EXPECTS = "a .csv or .xlsx table with a column of image paths and one of labels"
_COLUMNS = ("path_column", "label_column", "patient_column", "domain_column")
_FILL = {
    "path": "fill it, or remove the row",
    "label": "fill it, or spell the class out",
    "domain": "fill it, or leave out --domain-column",
}
_WINDOWS_ROOT = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    if src.is_dir():
        raise InputError(src, "a folder, not a table", f"expects {_EXPECTS}")
    chosen = {name.removesuffix("_column"): options[name] for name in _COLUMNS if options[name]}
    if options["unlabelled"]:
        chosen.pop("label", None)
    needs = ["path"] if options["unlabelled"] else ["path", "label"]
    for needed in needs:
        if needed not in chosen:
            raise InputError(f"{needed}_column", "is empty", f"name the column that holds the {needed}")
    _check_columns(chosen)
    filled = [*needs, *(["domain"] if "domain" in chosen else [])]
    table = read_table(src, list(chosen.values()))
    if "label" in chosen:
        check_spellings(table[chosen["label"]], f"{src}, column {chosen['label']}")
    for name, what in (("patient", "patient"), ("domain", "scanner or hospital")):
        if name in chosen:
            check_spellings(table[chosen[name]], f"{src}, column {chosen[name]}", what)
    root = Path(options["root"]) if options["root"] else src.parent
    if not root.is_dir():
        raise InputError("--root", f"{root}: there is no such folder", "give the folder that the paths are relative to")
    for row, image in table.iterrows():
        cells = {name: str(image[column]) for name, column in chosen.items()}
        empty = next((needed for needed in filled if means_nothing(cells[needed])), None)
        if empty is not None:
            where, value = f"{src}, row {row}, column {chosen[empty]}", cells[empty]
            problem = f"{value!r} means a missing value" if value else "an empty cell"
            label = "" if empty == "label" else cells.get("label", "")
            yield missing(cells["path"] or f"row {row}", label, where, problem, _FILL[empty])
            continue
        if means_nothing(cells.get("patient", "")):
            cells["patient"] = ""
        yield _raw(root, cells, f"{src}, row {row}, column {chosen['path']}")


def _check_columns(chosen: Mapping[str, str]) -> None:
    """InputError when one column is given two meanings: every class would be one patient, or every image a patient of its own."""
    for name, column in chosen.items():
        other = next(other for other, same in chosen.items() if same == column)
        if other != name:
            problem = f"{column!r} is the column of the {other}, too"
            raise InputError(f"--{name}-column", problem, "name another column, or leave it out")


def below(root: Path, listed: str) -> Path | None:
    """Where a table's path leads, relative to `root`, as written on any system; None when it leaves `root`.

    Backslashes are read as slashes unless a file has them in its name; an absolute path is taken if it lies below `root`.
    """
    text = listed if is_file(root / listed) else listed.replace("\\", "/")
    if _WINDOWS_ROOT.match(listed) or "\0" in listed:
        return None
    relative = os.path.relpath(text, root.absolute()) if os.path.isabs(text) else os.path.normpath(text)
    leaves = ".." in Path(relative).parts or ".." in Path(text).parts
    return None if leaves else Path(relative)


def _raw(root: Path, cells: Mapping[str, str], where: str) -> RawImage:
    listed, label = below(root, cells["path"]), cells.get("label", "")
    # Paths that leave the folder of images are refused: the identity of an image is its place below it.
    if listed is None:
        if ".." in Path(cells["path"].replace("\\", "/")).parts:
            problem, fix = (
                f"{cells['path']!r} lies outside {root}, or may: it goes up by '..'",
                f"write paths below {root}, or give --root",
            )
        else:
            problem, fix = f"{cells['path']!r} lies outside {root}", "give --root, and paths below it"
        return missing(cells["path"], label, where, problem, fix)
    path, name = root / listed, listed.as_posix()
    if not is_file(path):
        return missing(name, label, where, f"no image {path}", "correct the path, give --root")
    return RawImage(
        name, label, path, patient=cells.get("patient", ""), domain=cells.get("domain", ""), source_path=name
    )


ROW = Importer(
    describe="any table of image paths and labels",
    expects=_EXPECTS,
    licence="unknown",
    citation="",
    source="",
    iterate=_iterate,
    domain="",
    # root: the folder that paths are relative to; the table's own when empty.
    options={
        "path_column": "path",
        "label_column": "label",
        "patient_column": "",
        "domain_column": "",
        "root": "",
        "unlabelled": False,
    },
    help={
        "unlabelled": "Import images without labels: a hospital to deploy at. Folders and label columns then mean nothing.",
        "path_column": "Column of image paths.",
        "label_column": "Column of labels.",
        "patient_column": "Column of patients. Images of a patient stay in one fold, which prevents leakage between training and test.",
        "domain_column": "Column of scanners or hospitals, where the table holds several.",
        "root": "Folder that the paths are relative to; empty: the folder of the table.",
    },
    path_options=("root",),
    root=lambda src, options: None,  # a table may list a few files of a large folder: its rows are accounted for
    traps="without a patient column only near-duplicates are kept together",
)
