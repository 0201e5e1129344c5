"""Finding images and reading tables in a published archive, with errors that name file, row and column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from sweep.core.errors import InputError, suggestion

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"})
_MASK_STEM = re.compile(r"(^|[_\-. ])(mask|masks|seg|segmentation)([_\- ]?\d+)?$|^(mask|seg)[_\-]\d", re.IGNORECASE)
# Only beside the image itself: case001_tumor.png with case001.png (BrEaST), 12_HC_Annotation.png with 12_HC.png.
_MASK_BESIDE = re.compile(r"^(.+)[_\-](tumou?r|other|lesion|annotation|label|gt)\d*$", re.IGNORECASE)
_MASK_FOLDER = re.compile(r"^((tumou?r|lesion|lung|binary|left|right|train(ing)?|val(id(ation)?)?|test)[_\- ])?"
                          r"(masks?|segmentations?|ground[_\- ]?truths?|gt|annotations?)$", re.IGNORECASE)  # fmt: skip


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as those that published archives keep their segmentation masks in."""
    return bool(_MASK_FOLDER.match(name))


def is_mask(relative: Path) -> bool:
    """Whether a path inside an archive names a segmentation mask, by its stem or one of its folders."""
    return bool(_MASK_STEM.search(relative.stem)) or any(map(is_mask_folder, relative.parts[:-1]))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which `benign (2)` comes before `benign (10)`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def images_below(folder: Path) -> Iterator[Path]:
    """Image files of a folder and its subfolders in natural order, without masks and hidden files."""
    yield from images_and_masks(folder)[0]


def images_and_masks(folder: Path) -> tuple[list[Path], list[Path]]:
    """The image files of a folder and its subfolders, in natural order, and those left out because their names say mask."""
    found = (
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    shown = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    stems = {path.with_suffix("").as_posix().lower() for path in shown}
    images: list[Path] = []
    masks: list[Path] = []
    for path in sorted(shown, key=lambda path: natural_key(path.as_posix())):
        beside = _MASK_BESIDE.match(path.with_suffix("").as_posix().lower())
        (masks if is_mask(path) or (beside and beside[1] in stems) else images).append(folder / path)
    return images, masks


class FilesByName:
    """The files below a folder that match a pattern, found by their name alone."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self._files: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob(pattern)):
            self._files.setdefault(path.name, []).append(path)

    def find(self, name: str, where: str) -> Path | None:
        """The file of this name, None when there is none; InputError at `where` when two folders have one."""
        found = self._files.get(name, [None])
        if len(found) > 1:
            raise InputError(where, f"{name!r} is {found[0]} and {found[1]}", "leave one of them")
        return found[0]


def read_words(path: Path) -> set[str]:
    """The words of a text file; InputError when it is no UTF-8 text."""
    try:
        return set(path.read_text(encoding="utf-8").split())
    except UnicodeDecodeError as wrong:
        raise InputError(path, f"not UTF-8 text (byte {wrong.start})", "save it as UTF-8") from None


def class_folders(src: Path, expects: str) -> list[Path]:
    """The subfolders of `src` in natural order; InputError when it is a file, missing or holds none."""
    if not src.is_dir():
        raise InputError(src, "not a folder", f"expects {expects}")
    folders = [path for path in src.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if not folders:
        raise InputError(src, "holds no class folder", f"expects {expects}")
    return sorted(folders, key=lambda path: natural_key(path.name))


def only(folder: Path, pattern: str, what: str) -> Path:
    """The one file below `folder` that matches `pattern`; InputError when there is none or more than one."""
    if not folder.is_dir():
        raise InputError(folder, "not a folder", f"give the folder that holds {what}")
    found = sorted(path for path in folder.rglob(pattern) if not path.name.startswith((".", "~")))
    if not found:
        raise InputError(folder, f"no {pattern} in it", f"give the folder that holds {what}")
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found[:3])
        raise InputError(folder, f"{len(found)} files match {pattern}: {names}", "leave one of them")
    return found[0]


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A spreadsheet (.xlsx) or comma-separated table as text, stripped; '' where a cell is empty.

    The index is the row number as a spreadsheet shows it (the header is row 1). Raises InputError when the
    file cannot be read, holds no row, or lacks one of `columns`.
    """
    if not path.is_file():
        raise InputError(path, "there is no such file", "give the path of the table")
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            frame = pd.read_excel(path, dtype=str, keep_default_na=False)
        else:
            frame = pd.read_csv(
                path, dtype=str, encoding="utf-8-sig", keep_default_na=False
            )  # a class may be called None
    except UnicodeDecodeError as wrong:
        raise InputError(path, f"not UTF-8 text (byte {wrong.start})", "save it as UTF-8") from None
    except Exception as broken:  # noqa: BLE001 - every reader has errors of its own: zip, XML, parser
        raise InputError(path, f"cannot be read as a table ({broken})", "restore it from the archive") from None
    frame = frame.rename(columns=lambda name: str(name).strip())
    for column in columns:
        if column not in frame:
            other = next(
                (mark for mark in (";", "\t", "|") if len(frame.columns) == 1 and mark in frame.columns[0]), ""
            )
            fix = (
                f"it seems to be separated by {other!r}; save it with commas"
                if other
                else f"name the column so; {suggestion(column, frame.columns)}"
            )
            raise InputError(f"{path}, row 1", f"no column {column!r}", fix)
    if frame.empty:
        raise InputError(path, "the table has no rows", "restore it from the archive")
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    return frame.fillna("").map(lambda cell: str(cell).strip())


def choice(value: str, allowed: Iterable[str], where: str) -> str:
    """`value` in lower case if it is one of `allowed`, else InputError at `where`."""
    known = list(allowed)
    if value.lower() not in known:
        raise InputError(where, f"{value!r} is none of the classes", f"write one of {', '.join(known)}")
    return value.lower()
