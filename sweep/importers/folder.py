"""Any folder of class folders, with patients from a table or from the file names.

python -m sweep.importers folder my_images shards/mine --patients patients.csv
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.core.bounded import bounded
from sweep.core.errors import InputError
from sweep.importers.files import (
    class_folders,
    images_and_masks,
    images_below,
    is_mask_folder,
    is_system,
    read_table,
)
from sweep.importers.raw import Ignored, Importer, RawImage
from sweep.importers.spelling import check_spellings, means_nothing, same_class
from sweep.importers.walk import why_no_image

_EXPECTS = "a folder with one subfolder of images per class"
_PART = (
    r"(train|training|val|valid|validate|validation|dev|development|test|testing|eval|evaluation|hold[_\- ]?out"
    r"|seen|unseen|label+ed|unlabel+ed)"
)
_WHAT = r"(set|data|dataset|images?|imgs?|cases?|samples?|split|part)"
_NUMBERED = r"[_\- ]?(\d+|[A-Za-z]|\(\d+\))"
_SPLIT = re.compile(
    rf"(\d+[_\- ]+)?((data|dataset|images?|imgs?|labels?|set|internal|external|final|public|private|official)[_\- ]?)?"
    rf"({_PART}([_\- ]?{_WHAT})?([_\- ]?(\d+|\(\d+\)))?([_\- ](internal|external|final|public|private))?"
    rf"|(fold|split|part|batch|cv|subset){_NUMBERED}|set[_\- ]?\d+)|(images?|imgs?|labels?)[_\- ]?(tr|ts|te|va)",
    re.IGNORECASE,
)
_PART_OF_NAME = re.compile(r"(?:^|[_\- ])(train|val|test)(?:ing|id|idation)?(?:[_\- ]|$)", re.IGNORECASE)
_SHORT_PARTS = frozenset(("tr", "ts", "te", "va", "vl"))
# Folders of such names hold images of every class, or what belongs to images: no class is called so.
_CONTAINERS = re.compile(
    r"(images?|imgs?|originals?|labels?|data|dataset|scans?|pictures?|files|code|metadata|annotated|overlays?)",
    re.IGNORECASE,
)
_SECONDS = 10.0  # for the pattern over all names


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    if options["patients"] and options["patient_regex"]:
        raise InputError("patient_regex", "given beside patients: which of the two names them?", "give one of the two")
    table = _patients(Path(options["patients"])) if options["patients"] else None
    pattern = _compiled(options["patient_regex"])
    found = [(folder, list(images_below(folder))) for folder in _folders(src, options)]
    for folder, images in found:
        if not images:
            raise InputError(folder, *_why_empty(folder))
        if not options["unlabelled"] and "same-subfolders" not in options["accept"]:
            check_nested(folder, images, [other.name for other, _ in found])
    paths = [path for _, images in found for path in images]
    by_name = patients_by_name(pattern, paths) if pattern is not None else [""] * len(paths)
    check_spellings(by_name, "patient_regex", "patient")
    people = iter(by_name)
    listed = set(table or ())
    for folder, images in found:
        for path in images:
            name, patient = path.relative_to(src).as_posix(), next(people)
            if table is not None:
                patient = _from_table(table, name, options["patients"])
                listed.discard(name)
            label = "" if options["unlabelled"] else folder.name
            yield RawImage(name, label, path, patient=patient, source_path=name)
    for name in sorted(listed):
        yield Ignored(f"{options['patients']}: {name}", "rows of the table of patients that name no image")


def _why_empty(folder: Path) -> tuple[str, str]:
    """Problem and fix of a folder without images."""
    _, masks = images_and_masks(folder)
    if masks:
        fix = "rename them if they are images: importers leave out what is called mask, seg or segmentation"
        return f"the folder holds no image, but {len(masks):,} masks by their names, like {masks[0].name}", fix
    return "the folder holds no image", "fill it or remove it"


def _folders(src: Path, options: Mapping[str, Any]) -> list[Path]:
    """The class folders, or the whole of a data set without labels, however it is sorted."""
    if not options["unlabelled"]:
        return class_folders_of(src, _EXPECTS, options["accept"])
    if not src.is_dir():
        raise InputError(src, "not a folder", "give the folder with the images")
    return [src]


def class_folders_of(src: Path, expects: str, accept: Sequence[str] = ()) -> list[Path]:
    """The class folders of a clinic's own data set.

    Raises InputError when some of them are parts of a split or hold masks, when there is only a folder around the classes, or when
    two names spell one class.
    """
    folders = class_folders(src, expects)
    names = [folder.name for folder in folders]
    _check_split(src, names)
    for folder in folders:
        _refuse_masks(folder, names)
    for folder in folders:
        _check_class_name(folder, names)
    _check_links(folders)
    if "same-subfolders" not in accept:
        _check_subfolders(src, folders)
    if len(folders) == 1 and "one-class" not in accept:
        inner = sorted(path.name for path in folders[0].iterdir() if path.is_dir())
        fix = f"give SRC {folders[0]}" if len(inner) > 1 else "give a folder with a subfolder per class"
        problem = f"holds the one folder {folders[0].name!r}, which would be the only class"
        raise InputError(src, problem, f"{fix}; if one class is meant, pass --accept one-class")
    check_spellings(names, src)
    return folders


def _check_split(src: Path, names: Sequence[str]) -> None:
    parts = [name for name in names if _SPLIT.fullmatch(name)]
    if not parts and len({found[1].lower() for name in names if (found := _PART_OF_NAME.search(name))}) > 1:
        parts = [name for name in names if _PART_OF_NAME.search(name)]  # train_benign, test_benign
    if len(names) > 1 and {name.casefold() for name in names} <= _SHORT_PARTS:
        parts = list(names)
    if parts:
        inner = [path.name for path in (src / parts[0]).iterdir() if path.is_dir()]
        each = f"import each by itself (SRC {src / parts[0]})" if inner else "move the images into a folder per class"
        fix = f"{each}, or name images and labels in a table: importer csv"
        noun = "are parts of a split, not classes" if len(parts) > 1 else "is part of a split, not a class"
        raise InputError(src, f"its {'folders' if len(parts) > 1 else 'folder'} {', '.join(parts)} {noun}", fix)


def _refuse_masks(folder: Path, names: Sequence[str]) -> None:
    beside = [name for name in names if name != folder.name and folder.name.casefold().startswith(name.casefold())]
    rest = [folder.name[len(name) :].strip("_- ") for name in beside]
    if is_mask_folder(folder.name) or any(map(is_mask_folder, rest)):
        fix = "move it away, or use the importer of this data set (--help lists them)"
        raise InputError(folder, "by its name it holds masks, and would become a class", fix)


def _check_class_name(folder: Path, names: Sequence[str]) -> None:
    """InputError for a folder that holds images of all classes by its name, and for a name that means a missing value."""
    if len(names) > 1 and _CONTAINERS.fullmatch(folder.name):
        fix = "give the folder whose subfolders are the classes, or name images and labels in a table: importer csv"
        raise InputError(folder, "by its name it is no class, and would become one", fix)
    if means_nothing(folder.name):
        raise InputError(
            folder, f"the class name {folder.name!r} means a missing value", "name the class, or move it away"
        )


def _check_links(folders: Sequence[Path]) -> None:
    """InputError when two class folders are one folder: every image would have both labels."""
    seen: dict[Path, Path] = {}
    for folder in folders:
        before = seen.setdefault(folder.resolve(), folder)
        if before is not folder:
            raise InputError(folder, f"links to the same folder as {before.name!r}", "remove one of the two")


def _check_subfolders(src: Path, folders: Sequence[Path]) -> None:
    """InputError when all folders hold no image, but the same subfolders: hospitals or scanners, each with the classes below."""
    inner = []
    for folder in folders:
        entries = [path for path in folder.iterdir() if not is_system(path.name)]
        below = {path.name for path in entries if path.is_dir() and not is_mask_folder(path.name)}
        if not below or any(not path.is_dir() and not why_no_image(path) for path in entries):
            return
        inner.append(below)
    common = sorted(name for name in set.intersection(*inner) if not any(map(str.isdigit, name))) if inner else []
    if len(folders) > 1 and len(common) > 1:
        problem = f"its folders {', '.join(folder.name for folder in folders[:3])} all hold {', '.join(common[:3])}: which are the classes?"
        fix = f"import each by itself (SRC {folders[0]}); if the outer ones are the classes, pass --accept same-subfolders"
        raise InputError(src, problem, fix)


def check_nested(folder: Path, files: Iterable[Path], names: Sequence[str]) -> None:
    """InputError when files of a class folder lie in a subfolder that is called as another class; numbers are names of cases, too."""
    others = {same_class(name): name for name in names if name != folder.name and not any(map(str.isdigit, name))}
    for path in files:
        for parent in path.relative_to(folder).parents:
            if parent.name and same_class(parent.name) in others:
                problem = (
                    f"a folder of the class {folder.name!r} is called as the class {others[same_class(parent.name)]!r}"
                )
                fix = "move its images to their class, or rename it; if it is meant, pass --accept same-subfolders"
                raise InputError(folder / parent, problem, fix)


def _patients(path: Path) -> dict[str, str]:
    table = read_table(path, ["image", "patient"])
    found: dict[str, str] = {}
    for row, image, patient in zip(table.index, table["image"], table["patient"], strict=True):
        name = os.path.normpath(image.replace("\\", "/"))
        if found.setdefault(name, patient) != patient:
            problem = f"a second patient of {image!r}: {found[name]!r} and {patient!r}"
            raise InputError(f"{path}, row {row}", problem, "remove one of the rows")
    check_spellings(set(found.values()), f"{path}, column patient", "patient")
    return found


def _from_table(table: dict[str, str], name: str, path: str) -> str:
    if name not in table:
        raise InputError(path, f"no row for image {name!r}", "list every image by its path below the source folder")
    return table[name]


def _compiled(pattern: str) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as wrong:
        raise InputError("patient_regex", f"{pattern!r} is no regular expression ({wrong})", "correct it") from None
    if compiled.groups != 1:
        raise InputError("patient_regex", f"{pattern!r} has {compiled.groups} groups", "put the patient's part in ()")
    return compiled


def patients_by_name(pattern: re.Pattern[str], paths: Sequence[Path]) -> list[str]:
    """The one group of `pattern` in each file name.

    Raises InputError for a name that does not match, for a match that cuts a number in two (patients 1, 10 and 12 would be one),
    and for a pattern that takes more than _SECONDS over all names.
    """
    fix = "write it without nested repetitions"
    names = [path.name for path in paths]
    where = "patient_regex (--patient-regex)"
    spans = bounded(spans_of_group, pattern.pattern, names, where=where, seconds=_SECONDS, fix=fix)
    return [_part(pattern, path, span) for path, span in zip(paths, spans, strict=True)]


def spans_of_group(pattern: str, names: Sequence[str]) -> list[tuple[int, int] | None]:
    """Where the first group of `pattern` lies in each name; None where it does not match."""
    compiled = re.compile(pattern)
    return [match.span(1) if (match := compiled.search(name)) else None for name in names]


def _part(pattern: re.Pattern[str], path: Path, span: Sequence[int] | None) -> str:
    if span is None or span[0] == span[1]:
        what = "does not match" if span is None else "gives no patient under"
        raise InputError(path, f"the name {what} {pattern.pattern!r}", "correct patient_regex")
    name, (start, end) = path.name, span
    cut = (end < len(name) and name[end - 1 : end + 1].isdecimal()) or (
        start and name[start - 1 : start + 1].isdecimal()
    )
    if cut and "{" not in pattern.pattern:
        problem = f"{pattern.pattern!r} takes {name[start:end]!r} out of a longer number"
        raise InputError(
            path, problem, r"match the whole number, or write how many digits belong to the patient: \d{4}"
        )
    return name[start:end]


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
    options={"patients": "", "patient_regex": "", "unlabelled": False},
    help={
        "unlabelled": "Import images without labels: a hospital to deploy at. Folders and label columns then mean nothing.",
        "patients": "Table (.csv or .xlsx) with columns image (path below SRC) and patient. Images of a patient stay in one fold, which prevents leakage between training and test.",
        "patient_regex": "Regular expression on the file name, whose one group is the patient; instead of --patients.",
    },
    path_options=("patients",),
    traps="masks are skipped by their names; without patients only near-duplicates are kept together",
)
