"""Any folder of class folders, with patients from a table or from the file names.

python -m sweep.importers folder my_images shards/mine --patients patients.csv
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.files import class_folders, images_and_masks, images_below, is_mask_folder, read_table
from sweep.importers.raw import Importer, RawImage

_EXPECTS = "a folder with one subfolder of images per class"
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    table = _patients(Path(options["patients"])) if options["patients"] else None
    pattern = _compiled(options["patient_regex"])
    for folder in _classes(src):
        images = list(images_below(folder))
        if not images:
            raise InputError(folder, "the class folder holds no image", "fill it or remove it")
        for path in images:
            name = path.relative_to(src).as_posix()
            patient = _from_table(table, name, options["patients"]) if table is not None else _matched(pattern, path)
            yield RawImage(name, folder.name, path, patient=patient, source_path=name)


def _classes(src: Path) -> list[Path]:
    """The class folders; InputError when some are parts of a split, or hold masks."""
    folders = class_folders(src, _EXPECTS)
    parts = [folder.name for folder in folders if folder.name.lower() in _SPLITS]
    if len(parts) > 1:
        fix = f"import each by itself (SRC {src / parts[0]}), or name images and labels in a table: importer csv"
        raise InputError(src, f"its folders {', '.join(parts)} are parts of a split, not classes", fix)
    for folder in folders:
        if is_mask_folder(folder.name):
            raise InputError(
                folder,
                "by its name it holds masks, and would become a class",
                "move it away, or use the importer of this data set (--help lists them)",
            )
    return folders


def _masks_left_out(src: Path, options: Mapping[str, Any]) -> list[str]:
    masks = [path for folder in _classes(src) for path in images_and_masks(folder)[1]]
    return (
        [
            f"{len(masks)} files are masks by their names and are left out: {masks[0].relative_to(src)}{', ...' if len(masks) > 1 else ''}"
        ]
        if masks
        else []
    )


def _patients(path: Path) -> dict[str, str]:
    table = read_table(path, ["image", "patient"])
    return dict(zip(table["image"], table["patient"], strict=True))


def _from_table(table: dict[str, str], name: str, path: str) -> str:
    if name not in table:
        raise InputError(path, f"no row for image {name!r}", "list every image by its path below the source folder")
    return table[name]


def _compiled(pattern: str) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as wrong:
        raise InputError("patient_regex", f"{pattern!r} is no regular expression ({wrong})", "correct it") from None
    if compiled.groups != 1:
        raise InputError("patient_regex", f"{pattern!r} has {compiled.groups} groups", "put the patient's part in ()")
    return compiled


def _matched(pattern: re.Pattern[str] | None, path: Path) -> str:
    if pattern is None:
        return ""
    match = pattern.search(path.name)
    if match is None:
        raise InputError(path, f"the name does not match {pattern.pattern!r}", "correct patient_regex")
    return match[1]


ROW = Importer(
    describe="any images in class folders",
    expects=_EXPECTS,
    licence="unknown",
    citation="",
    source="",
    iterate=_iterate,
    domain="",
    # patients: a table with columns image (path below the source) and patient; patient_regex: its one group is
    # the patient's part of the file name.
    options={"patients": "", "patient_regex": ""},
    help={
        "patients": "Table (.csv or .xlsx) with columns image (path below SRC) and patient. Images of a patient stay in one fold, which prevents leakage between training and test.",
        "patient_regex": "Regular expression on the file name, whose one group is the patient; instead of --patients.",
    },
    notes=_masks_left_out,
    traps="masks are skipped by their names; without patients only near-duplicates are kept together",
)
