"""The row layout that every data set shares, and the manifest that makes a folder of parts a data set.

A folder holds part-00000.parquet, part-00001.parquet, ... and manifest.json, which is written last: a folder
without it is an unfinished import and is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sweep.core.hashing import canonical_json

FORMAT = 1
MANIFEST = "manifest.json"
SINGLE_LABEL, MULTI_LABEL = "single-label", "multi-label"  # tasks: one class an image, or several findings
TASKS = (SINGLE_LABEL, MULTI_LABEL)
NO_LABEL = -1  # class index of an image without a label

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.binary()),  # raw uint8, row-major; Parquet would store list<uint8> as four-byte integers
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("label", pa.string()),
        ("patient", pa.string()),
        ("dataset", pa.string()),
        ("domain", pa.string()),
        ("licence", pa.string()),
        ("sha256", pa.string()),
        ("source_path", pa.string()),
        ("original_height", pa.int32()),
        ("original_width", pa.int32()),
        ("colour", pa.float32()),
        ("transparent", pa.bool_()),
    ]
)
# Where an image may have several findings: one label per finding, 1, 0, -1 (uncertain) or NaN (not known).
_LABELS = pa.field("labels", pa.list_(pa.float32()))


def schema_of(task: str) -> pa.Schema:
    """The columns of a data set's parts."""
    return SCHEMA.append(_LABELS) if task == MULTI_LABEL else SCHEMA


def metadata_columns(task: str) -> tuple[str, ...]:
    """Every column but the pixels."""
    return tuple(name for name in schema_of(task).names if name != "image")


@dataclass(frozen=True)
class ShardRow:
    """One image to be written into a shard.

    `image` is uint8 [H, W] grey at import size; `label` is None only in a data set whose header says `labelled=False`;
    `domain` is set where it differs from the data set's own (one scanner of several); `original_height` and
    `original_width` are pixels before the import; `colour` is the share of tinted pixels before the conversion to grey, in
    [0, 1]. `labels` holds one label per finding where an image may have several; `label` is then their summary.
    """

    image_id: str
    image: np.ndarray
    label: str | None
    patient: str = ""
    domain: str = ""
    source_path: str = ""
    original_height: int = 0
    original_width: int = 0
    colour: float = 0.0
    transparent: bool = False
    labels: tuple[float, ...] = ()


@dataclass(frozen=True)
class Header:
    """What is true of a whole data set; `classes` left empty means: those found, in `class_order`.

    `task` is SINGLE_LABEL, or MULTI_LABEL, where `classes` are the findings that every image has a label of. With
    `labelled=False` (single-label only) images may lack a label, and `classes` may stay empty.
    """

    name: str
    domain: str
    classes: tuple[str, ...] = ()
    positive: str = ""
    licence: str = ""
    citation: str = ""
    source: str = ""
    import_px: int = 256
    settings: Mapping[str, Any] = field(default_factory=dict)
    task: str = SINGLE_LABEL
    labelled: bool = True


@dataclass(frozen=True)
class Part:
    """One Parquet file: its name, rows, size in bytes and SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The data set as written; `sha256` identifies its rows and does not depend on how the parts were cut.

    `labelled` False: images may lack a label (column label null, class index NO_LABEL), and there may be no classes.
    """

    name: str
    domain: str
    classes: tuple[str, ...]
    positive: str
    images: int
    parts: tuple[Part, ...]
    licence: str
    citation: str
    source: str
    import_px: int
    settings: Mapping[str, Any]
    sha256: str
    format: int = FORMAT
    task: str = SINGLE_LABEL
    labelled: bool = True

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several findings."""
        return self.task == MULTI_LABEL

    def to_json(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return dataclasses.asdict(self)


class RowsDigest:
    """SHA-256 over rows in order: id, label, patient, size, pixels and findings; the layout of the parts has no part in it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(
        self,
        image_id: str,
        label: str | None,
        patient: str,
        size: tuple[int, ...],
        pixels_sha256: str,
        labels: Sequence[float] = (),
    ) -> None:
        """Take in one row: `size` is (height, width), `pixels_sha256` the hash of its raw pixels."""
        identity: list[Any] = [image_id, label, patient, *size, pixels_sha256]
        if len(labels):
            identity.append([None if math.isnan(value) else float(value) for value in labels])
        self._digest.update(canonical_json(identity).encode() + b"\n")

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._digest.hexdigest()
