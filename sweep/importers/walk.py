"""Every file below a folder, each with the reason why it is not read: the one place where importers list folders.

Links to folders are followed once; hidden and system files are never read; a file without a suffix is judged by its content.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sweep.core.errors import InputError
from sweep.core.images import image_format

IMAGE_SUFFIXES = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".webp",
        ".jp2",
        ".j2k",
        ".j2c",
        ".jpc",
        ".jpx",
        ".jpf",
        ".pgm",
        ".pbm",
        ".ppm",
        ".pnm",
        ".tga",
    ]
)
# Images that a class folder is not meant to lose in silence: listed like the others, and refused when they are opened.
FOREIGN_SUFFIXES = frozenset(
    [
        ".dcm",
        ".dicom",
        ".ima",
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".psd",
        ".xcf",
        ".pcx",
        ".sgi",
        ".exr",
        ".nii",
        ".mha",
        ".mhd",
        ".nrrd",
        ".npy",
        ".czi",
        ".svs",
        ".pam",
        ".pfm",
        ".fits",
        ".fit",
        ".dds",
        ".jxr",
        ".wdp",
        ".ico",
        ".ndpi",
    ]
)
_ARCHIVES = frozenset([".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"])
_SYSTEM = frozenset(
    ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")
)
_HEAD_BYTES = 132  # up to the end of DICOM's mark

_MASK_STEM = re.compile(r"(^|[_\-. ])(mask|masks|seg|segmentation)([_\- ]?\d+)?$|^(mask|seg)[_\-]\d", re.IGNORECASE)
# Only beside the image itself: case001_tumor.png with case001.png (BrEaST), 12_HC_Annotation.png with 12_HC.png.
_MASK_BESIDE = re.compile(r"^(.+)[_\-](tumou?r|other|lesion|annotation|label|gt)\d*$", re.IGNORECASE)
_MASK_FOLDER = re.compile(r"^((tumou?r|lesion|lung|binary|left|right|train(ing)?|val(id(ation)?)?|test)[_\- ])?"
                          r"(masks?|segmentations?|ground[_\- ]?truths?|gt|annotations?)$", re.IGNORECASE)  # fmt: skip

LINK_LOOP = "links to folders that are read already"
LINK_BROKEN = "links to nothing"
SYSTEM_FILE = "hidden and system files"
SPECIAL = "no regular files"
MASK = "masks by their names"
DICOM = "DICOM files (the importer dicom reads them)"
ARCHIVE = "archives, which are not unpacked"


@dataclass(frozen=True)
class Listing:
    """The files below a folder in natural order, and what was passed over while listing: (path, reason)."""

    files: list[Path]
    passed: list[tuple[Path, str]]


def listing(folder: Path) -> Listing:
    """Every file below `folder`; hidden and system entries and repeated links are passed over, and said.

    Raises InputError for a folder that cannot be read: half a data set must not look like a whole one.
    """
    files: list[Path] = []
    passed: list[tuple[Path, str]] = []
    seen: set[tuple[int, int]] = set()
    real, linked = [folder], list[Path]()
    while real or linked:
        here = real.pop() if real else linked.pop(0)  # what lies in the folder itself first, then what links lead to
        identity = _identity(here)
        if identity in seen:
            passed.append((here, LINK_LOOP))
            continue
        seen.add(identity)
        for entry in _entries(here):
            path = here / entry.name
            if is_system(entry.name):
                passed.append((path, SYSTEM_FILE))
            elif not entry.is_dir():
                files.append(path)
            elif entry.is_symlink():
                linked.append(path)
            else:
                real.append(path)
    files.sort(key=lambda path: natural_key(path.as_posix()))
    return Listing(files, passed)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as broken:
        raise InputError(
            folder, f"cannot be listed ({broken.strerror or broken})", "change its permissions, or move it away"
        ) from None


def is_system(name: str) -> bool:
    """Whether an operating system or a tool left this file or folder, by its name."""
    return name.startswith(".") or name.lower() in _SYSTEM


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as those that published archives keep their segmentation masks in."""
    return bool(_MASK_FOLDER.match(name))


def is_mask(relative: Path) -> bool:
    """Whether a path inside an archive names a segmentation mask, by its stem or one of its folders."""
    return bool(_MASK_STEM.search(relative.stem)) or any(map(is_mask_folder, relative.parts[:-1]))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which `benign (2)` comes before `benign (10)`."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part]


def images_below(folder: Path) -> Iterator[Path]:
    """Image files of a folder and its subfolders in natural order, without masks and hidden files."""
    yield from images_and_masks(folder)[0]


def images_and_masks(folder: Path) -> tuple[list[Path], list[Path]]:
    """The image files of a folder and its subfolders, in natural order, and those left out because their names say mask."""
    return split_masks(folder, (path for path in listing(folder).files if not why_no_image(path)))


def split_masks(folder: Path, found: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Images and masks among files below `folder`."""
    relative = [path.relative_to(folder) for path in found]
    stems = {path.with_suffix("").as_posix().lower() for path in relative}
    images: list[Path] = []
    masks: list[Path] = []
    for path in relative:
        beside = _MASK_BESIDE.match(path.with_suffix("").as_posix().lower())
        (masks if is_mask(path) or (beside and beside[1] in stems) else images).append(folder / path)
    return images, masks


def why_no_image(path: Path) -> str:
    """The reason why a file is not listed as an image; '' for one that is, whether or not it can be decoded."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in FOREIGN_SUFFIXES:
        return ""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        head = _head(path) if regular else b""
    except FileNotFoundError:
        return LINK_BROKEN
    except OSError:
        return "files that cannot be read"
    if not regular:
        return SPECIAL
    if head[128:132] == b"DICM":
        return "" if _says_nothing(suffix) else DICOM
    if image_format(head):
        return "" if _says_nothing(suffix) else f"images under the suffix {suffix}"
    if suffix in _ARCHIVES:
        return ARCHIVE
    return f"no images ({suffix})" if suffix and not _says_nothing(suffix) else "no images (without suffix)"


def _says_nothing(suffix: str) -> bool:
    """Whether what stands behind the last dot is no suffix: nothing, or a number as in names made of UIDs."""
    return not suffix.strip(".") or suffix[1:].isdecimal()


def _head(path: Path) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(_HEAD_BYTES)


def is_file(path: Path) -> bool:
    """Whether `path` leads to something that is no folder; names that no file can have lead to nothing."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False
