"""MedMNIST: any two-dimensional .npz of the collection, 28 to 224 pixels, read row by row.

python -m sweep.importers medmnist breastmnist_128.npz shards/breastmnist
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.raw import Importer, RawImage

SPLITS = ("train", "val", "test")
_EXPECTS = "a .npz with train_images, train_labels, val_images, ..., as MedMNIST publishes it"
_FIX = "download the file again"
_ANY = "any"  # some finding against none
_MOST_IMAGES, _MOST_FINDINGS, _MOST_PX = 10_000_000, 1_000, 4_096
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes
# Class names of the sets with two classes, by the first word of the file's name; others keep their numbers.
_NAMES = {
    "breastmnist": {0: "malignant", 1: "benign"},  # 1 is "normal, benign": the collection merged them
    "pneumoniamnist": {0: "normal", 1: "pneumonia"},
}


Label = tuple[str, tuple[float, ...]]  # the class or the summary of the findings, and the findings


@dataclass(frozen=True)
class ArrayHeader:
    """One array of the archive, as its header says and its entry in the archive confirms."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one row: plain integers, which do not overflow."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def columns(self) -> int:
        """Labels an image."""
        return self.shape[1] if len(self.shape) == 2 else 1


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    finding = str(options["finding"])
    names = next((names for name, names in _NAMES.items() if name in src.stem.lower()), {})

    def check(labels: ArrayHeader) -> None:
        _check_finding(src, labels, finding)

    return images_of(src, options, check, lambda label: (_label(src, label, finding, names), ()))


def images_of(
    src: Path, options: Mapping[str, Any], check: Callable[[ArrayHeader], None], labelled: Callable[[np.ndarray], Label]
) -> Iterator[RawImage]:
    """The images of the archive's splits that `options` want; `check` refuses the header of an array of labels, `labelled` reads one row."""
    if not src.is_file():
        raise InputError(src, "not a file", f"expects {_EXPECTS}")
    with _opened(src) as archive:
        for split in _wanted(options):
            yield from _split(src, archive, split, check, labelled)


def _wanted(options: Mapping[str, Any]) -> tuple[str, ...]:
    return SPLITS if options["split"] == "all" else (options["split"],)


@contextmanager
def _opened(src: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(src) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as broken:
        raise InputError(src, f"a damaged archive ({broken})", _FIX) from None


def total(src: Path, options: Mapping[str, Any]) -> int | None:
    """The number of images as the arrays' headers say; None when they do not (what is wrong is said when they are read)."""
    try:
        with _opened(src) as archive:
            return sum(_array(src, archive, f"{split}_labels").shape[0] for split in _wanted(options))
    except InputError:
        return None


def _split(
    src: Path,
    archive: zipfile.ZipFile,
    split: str,
    check: Callable[[ArrayHeader], None],
    labelled: Callable[[np.ndarray], Label],
) -> Iterator[RawImage]:
    labels, images = (_array(src, archive, f"{split}_{kind}") for kind in ("labels", "images"))
    _check_labels(src, labels)
    check(labels)
    _check_images(src, images)
    if images.shape[0] != labels.shape[0]:
        raise InputError(src, f"{split}: {images.shape[0]} images and {labels.shape[0]} labels", _FIX)
    rows = zip(_rows(src, archive, labels), _rows(src, archive, images), strict=True)
    for number, (row, pixels) in enumerate(rows):
        label, findings = labelled(row)
        yield RawImage(
            f"{split}-{number:06d}", label, pixels=_grey(pixels), labels=findings,
            source_path=f"{src.name}/{split}_images[{number}]",
        )  # fmt: skip


def _check_labels(src: Path, labels: ArrayHeader) -> None:
    shape = labels.shape
    if labels.dtype.kind not in "uib" or len(shape) > 2 or (len(shape) == 2 and not 1 <= shape[1] <= _MOST_FINDINGS):
        raise InputError(src, f"labels of {labels.dtype} {shape}", "give whole numbers, one row an image")


def _check_finding(src: Path, labels: ArrayHeader, finding: str) -> None:
    findings = labels.columns
    if findings == 1:
        if finding:
            raise InputError("finding", f"{finding!r}, but {src.name} has one label an image", "leave it out")
        return
    if not finding:
        fix = f"choose one by its number, --finding 0 to {findings - 1}, or --finding any; of ChestMNIST, chestmnist imports all"
        raise InputError(src, f"{findings} findings an image, which are no two classes", fix)
    if finding != _ANY and not (finding.isdecimal() and int(finding) < findings):
        fix = f"give a number from 0 to {findings - 1}, or {_ANY}"
        raise InputError("finding", f"{finding!r}, but {src.name} has {findings} findings", fix)


def _check_images(src: Path, images: ArrayHeader) -> None:
    shape = images.shape
    flat = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if images.dtype != np.uint8 or not flat or not all(1 <= side <= _MOST_PX for side in shape[1:]):
        raise InputError(src, f"images of {images.dtype} {shape}", "give a two-dimensional set of MedMNIST")


def _label(src: Path, label: np.ndarray, finding: str, names: Mapping[int, str]) -> str:
    values = np.atleast_1d(label)
    if not finding:
        number = int(values[0])
        if number < 0 or (names and number not in names):
            raise InputError(src, f"the label {number} is no class of this set", _FIX)
        return names.get(number, str(number))
    present_or_absent(src, values)
    present = values.any() if finding == _ANY else values[int(finding)]
    return "abnormal" if present else "normal"


def present_or_absent(src: Path, values: np.ndarray) -> None:
    """InputError for a finding that is neither 0 nor 1, which nothing tells the meaning of."""
    if not np.isin(values, (0, 1)).all():
        raise InputError(
            src, f"a finding of value {values[~np.isin(values, (0, 1))][0]}", "write 1 for present, 0 for absent"
        )


def _grey(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))


def _array(src: Path, archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    """The header of one array; InputError unless it is plain and the archive holds exactly the bytes that it promises."""
    entries = [entry for entry in archive.infolist() if entry.filename == f"{name}.npy"]
    if len(entries) != 1:
        raise InputError(src, f"{len(entries) or 'no'} array{'s' * (len(entries) > 1)} {name!r}", f"expects {_EXPECTS}")
    (entry,) = entries
    if entry.flag_bits & 1:
        raise InputError(src, f"array {name!r} is encrypted", "give it without a password")
    if entry.compress_type not in _METHODS:
        raise InputError(src, f"array {name!r} is compressed by method {entry.compress_type}", "save it with NumPy")
    with archive.open(entry) as stream:
        array = _header(src, name, stream)
        promised = stream.tell() + array.shape[0] * array.row_bytes
    if promised != entry.file_size:
        problem = f"array {name!r} promises {promised:,} bytes and the archive holds {entry.file_size:,}"
        raise InputError(src, problem, _FIX)
    return array


def _rows(src: Path, archive: zipfile.ZipFile, array: ArrayHeader) -> Iterator[np.ndarray]:
    """The rows of one array of the archive, one at a time: the 224-pixel sets are larger than memory."""
    with archive.open(f"{array.name}.npy") as stream:
        _header(src, array.name, stream)
        for _ in range(array.shape[0]):
            data = stream.read(array.row_bytes)
            if len(data) < array.row_bytes:
                raise InputError(src, f"array {array.name!r} ends early", _FIX)
            yield np.frombuffer(data, dtype=array.dtype).reshape(array.shape[1:])


def _header(src: Path, name: str, stream: IO[bytes]) -> ArrayHeader:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as broken:
        problem = f"array {name!r} has no readable header ({' '.join(str(broken).split())[:200]})"
        raise InputError(src, problem, _FIX) from None
    # Object arrays would have to be unpickled, which runs code from the file.
    if column_major or dtype.hasobject or dtype.names or dtype.subdtype or not shape:
        fix = "save it as numpy.savez does with numpy.ascontiguousarray of whole numbers"
        raise InputError(src, f"array {name!r} is not a plain row-major array", fix)
    if not all(0 <= side <= _MOST_IMAGES for side in shape):
        raise InputError(src, f"array {name!r} has the shape {shape}", _FIX)
    return ArrayHeader(name, shape, dtype)


ROW = Importer(
    describe="any two-dimensional set of MedMNIST or MedMNIST+ (28 to 224 px)",
    modality="several",
    expects=_EXPECTS,
    licence="CC-BY-4.0",
    citation="Yang et al., Scientific Data 10:41, 2023",
    source="https://doi.org/10.5281/zenodo.10519652",
    iterate=_iterate,
    domain="medmnist",
    # finding: of a multi-label set, the number of one finding, or any; split: all, train, val or test.
    options={"finding": "", "split": "all"},
    choices={"split": ("all", *SPLITS)},
    help={
        "finding": "Number of the one finding of a multi-label set to import, or any (some finding against none).",
        "split": "Which of the published splits to read.",
    },
    total=total,
    traps="no patients; breastmnist counts malignant as 0; its published split is not closed under duplicates",
)
