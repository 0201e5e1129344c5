"""Finding images and tables in a published archive by name."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from sweep.core.errors import InputError
from sweep.importers.tables import choice, read_table, read_words
from sweep.importers.walk import (
    IMAGE_SUFFIXES,
    images_and_masks,
    images_below,
    is_mask,
    is_mask_folder,
    is_system,
    listing,
    natural_key,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "FilesByName",
    "choice",
    "class_folders",
    "images_and_masks",
    "images_below",
    "inner_folder",
    "is_mask",
    "is_mask_folder",
    "is_system",
    "natural_key",
    "only",
    "read_table",
    "read_words",
]


class FilesByName:
    """The files below a folder that match a pattern, found by their name alone."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self._files: dict[str, list[Path]] = {}
        self._folded: dict[str, list[Path]] = {}
        for path in listing(folder).files:
            if fnmatchcase(path.name.casefold(), pattern.casefold()):
                self._files.setdefault(path.name, []).append(path)
                self._folded.setdefault(path.name.casefold(), []).append(path)

    def find(self, name: str, where: str) -> Path | None:
        """The file of this name (in other capitals where none has it exactly), None when there is none.

        Raises InputError at `where` when several files have it.
        """
        found = self._files.get(name) or self._folded.get(name.casefold(), [])
        if len(found) > 1:
            raise InputError(where, f"{name!r} is {found[0]} and {found[1]}", "leave one of them")
        return found[0] if found else None


def class_folders(src: Path, expects: str) -> list[Path]:
    """The subfolders of `src` in natural order, without system folders; InputError when it is a file, missing or holds none."""
    if not src.is_dir():
        raise InputError(src, "not a folder", f"expects {expects}")
    folders = [path for path in src.iterdir() if path.is_dir() and not is_system(path.name)]
    if not folders:
        raise InputError(src, "holds no class folder", f"expects {expects}")
    return sorted(folders, key=lambda path: natural_key(path.name))


def inner_folder(src: Path, holds: Iterable[str]) -> Path:
    """`src`, or its one subfolder that has all the entries `holds` where `src` itself has not: archives unpack into a folder."""
    wanted = list(holds)

    def complete(folder: Path) -> bool:
        return all((folder / name).exists() for name in wanted)

    if complete(src) or not src.is_dir():
        return src
    inner = [path for path in src.iterdir() if path.is_dir() and not is_system(path.name) and complete(path)]
    return inner[0] if len(inner) == 1 else src


def only(folder: Path, pattern: str, what: str) -> Path:
    """The one file below `folder` that matches `pattern`; InputError when there is none or more than one."""
    if not folder.is_dir():
        raise InputError(folder, "not a folder", f"give the folder that holds {what}")
    names = listing(folder).files
    found = [path for path in names if fnmatchcase(path.name.casefold(), pattern.casefold()) and path.name[0] != "~"]
    if not found:
        raise InputError(folder, f"no {pattern} in it", f"give the folder that holds {what}")
    if len(found) > 1:
        shown = ", ".join(path.relative_to(folder).as_posix() for path in found[:3])
        raise InputError(folder, f"{len(found)} files match {pattern}: {shown}", "leave one of them")
    return found[0]
