"""MedMNIST: any two-dimensional .npz of the collection, 28 to 224 pixels, read row by row.

python -m sweep.importers medmnist breastmnist_128.npz shards/breastmnist
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.raw import Importer, RawImage

_SPLITS = ("train", "val", "test")
_EXPECTS = "a .npz with train_images, train_labels, val_images, ..., as MedMNIST publishes it"
_FIX = "download the file again"
# Class names of the sets with two classes, by the first word of the file's name; others keep their numbers.
_NAMES = {
    "breastmnist": {0: "malignant", 1: "benign"},  # 1 is "normal, benign": the collection merged them
    "pneumoniamnist": {0: "normal", 1: "pneumonia"},
}


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    if not src.is_file():
        raise InputError(src, "not a file", f"expects {_EXPECTS}")
    try:
        with zipfile.ZipFile(src) as archive:
            for split in _SPLITS if options["split"] == "all" else (options["split"],):
                yield from _split(src, archive, split, options["finding"])
    except (zipfile.BadZipFile, zlib.error, EOFError) as broken:
        raise InputError(src, f"a damaged archive ({broken})", _FIX) from None


def _total(src: Path, options: Mapping[str, Any]) -> int | None:
    """The number of images as the arrays' headers say; None when they do not (what is wrong is said when they are read)."""
    wanted = _SPLITS if options["split"] == "all" else (options["split"],)
    try:
        with zipfile.ZipFile(src) as archive:
            return sum(_shape(src, archive, f"{split}_labels")[0] for split in wanted)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, InputError):
        return None


def _shape(src: Path, archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    if f"{name}.npy" not in archive.namelist():
        raise InputError(src, f"no array {name!r}", f"expects {_EXPECTS}")
    with archive.open(f"{name}.npy") as stream:
        return _header(src, name, stream)[0]


def _split(src: Path, archive: zipfile.ZipFile, split: str, finding: int) -> Iterator[RawImage]:
    labels = list(_rows(src, archive, f"{split}_labels"))
    images = _shape(src, archive, f"{split}_images")[0]
    if images != len(labels):
        raise InputError(src, f"{split}: {images} images and {len(labels)} labels", _FIX)
    names = _NAMES.get(src.stem.split("_")[0], {})
    for number, pixels in enumerate(_rows(src, archive, f"{split}_images")):
        yield RawImage(
            f"{split}-{number:06d}", _label(src, labels[number], finding, names), pixels=_grey(src, pixels),
            source_path=f"{src.name}/{split}_images[{number}]",
        )  # fmt: skip


def _label(src: Path, label: np.ndarray, finding: int, names: Mapping[int, str]) -> str:
    values = np.atleast_1d(label)
    if len(values) == 1:
        return names.get(int(values[0]), str(int(values[0])))
    if finding >= len(values):
        raise InputError("finding", f"{finding}, but {src.name} has {len(values)} findings", "give a smaller number")
    present = values[finding] if finding >= 0 else values.any()
    return "abnormal" if present else "normal"


def _grey(src: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise InputError(src, f"images of {pixels.dtype} {pixels.shape}", "give a two-dimensional set of MedMNIST")
    return pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))


def _rows(src: Path, archive: zipfile.ZipFile, name: str) -> Iterator[np.ndarray]:
    """The rows of one array of the archive, one at a time: the 224-pixel sets are larger than memory."""
    if f"{name}.npy" not in archive.namelist():
        raise InputError(src, f"no array {name!r}", f"expects {_EXPECTS}")
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = _header(src, name, stream)
        size = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        for _ in range(shape[0]):
            data = stream.read(size)
            if len(data) < size:
                raise InputError(src, f"array {name!r} ends early", _FIX)
            yield np.frombuffer(data, dtype=dtype).reshape(shape[1:])


def _header(src: Path, name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(stream)
    except ValueError as broken:
        raise InputError(
            src, f"array {name!r} has no readable header ({' '.join(str(broken).split())})", _FIX
        ) from None
    # Object arrays would have to be unpickled, which runs code from the file.
    if column_major or dtype.hasobject or not shape:
        raise InputError(src, f"array {name!r} is not a plain row-major array", _FIX)
    return shape, dtype


ROW = Importer(
    describe="any two-dimensional set of MedMNIST or MedMNIST+ (28 to 224 px)",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Yang et al., Scientific Data 10:41, 2023",
    source="https://doi.org/10.5281/zenodo.10519652",
    iterate=_iterate,
    domain="medmnist",
    # finding: of a multi-label set, the number of one finding (-1: any); split: all, train, val or test.
    options={"finding": -1, "split": "all"},
    choices={"split": ("all", *_SPLITS)},
    help={
        "finding": "Number of the one finding of a multi-label set to import; -1: any finding against none.",
        "split": "Which of the published splits to read.",
    },
    total=_total,
    traps="no patients; breastmnist counts malignant as 0; its published split is not closed under duplicates",
)
