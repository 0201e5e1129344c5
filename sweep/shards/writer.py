"""Rows -> Parquet parts -> manifest, in that order: a reader never sees half a data set."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from sweep.core.atomic import new_folder, write_text
from sweep.core.errors import InputError
from sweep.core.hashing import file_sha256
from sweep.core.location import located
from sweep.shards.findings import checked
from sweep.shards.labels import class_order, guess_positive
from sweep.shards.schema import MANIFEST, MULTI_LABEL, SCHEMA, Header, Manifest, Part, RowsDigest, ShardRow, schema_of

_GROUP_ROWS = 256  # rows held in memory at once: 16 MB at 256 px
_COPY_BYTES = 8 << 20
_PART_BYTES = 128 << 20  # pixels per part: large enough to read in one go, small enough to spread over workers
# Pixels are left raw: decompression would cost more than the disk saves (70,000 images/s against 10,000).
_COMPRESSION = {name: "NONE" if name == "image" else "ZSTD" for name in (*SCHEMA.names, "labels.list.element")}
_DICTIONARY = ["label", "patient", "dataset", "domain", "licence"]


def write_dataset(dst: Path | str, header: Header, rows: Iterable[ShardRow]) -> Manifest:
    """Write `rows` to the new folder `dst`, here or at a URL, whole or not at all, in constant memory.

    Raises InputError when `dst` already holds something, or cannot be written, when there is no row, when an id is empty or
    comes twice, when a label is missing or none of `header.classes`, or when an image of a multi-label set lacks a label of
    one of them. Images without a label (`label=None`) are accepted under `header.labelled=False`.
    """
    if header.task == MULTI_LABEL and not header.labelled:
        raise ValueError("a set with several findings per image marks unknown labels as NaN, not by labelled=False")
    files, root = located(dst)
    if not _is_free(files, root):
        raise InputError(dst, "the destination is not empty", "choose a new folder or delete this one first")
    try:
        if isinstance(files, fs.LocalFileSystem):
            with new_folder(Path(root)) as draft:
                return _write(draft, dst, header, rows)
        with tempfile.TemporaryDirectory() as draft:
            manifest = _write(Path(draft), dst, header, rows)
            _send(Path(draft), manifest, files, root)
            return manifest
    except OSError as broken:  # read-only, full, or a file where a folder should be
        fix = "choose a folder that can be written, on a disk with room"
        raise InputError(dst, f"cannot be written ({broken.strerror or broken})", fix) from None


def _write(draft: Path, dst: Path | str, header: Header, rows: Iterable[ShardRow]) -> Manifest:
    parts = _PartWriter(draft, header)
    for row in rows:
        parts.add(row)
    manifest = parts.close(dst)
    write_text(draft / MANIFEST, json.dumps(manifest.to_json(), indent=2))
    return manifest


def _send(draft: Path, manifest: Manifest, files: fs.FileSystem, root: str) -> None:
    """Parts first, the manifest last: a reader never sees half a data set."""
    for name in (*(part.file for part in manifest.parts), MANIFEST):
        with open(draft / name, "rb") as source, files.open_output_stream(f"{root}/{name}") as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)


def _is_free(files: fs.FileSystem, root: str) -> bool:
    """Whether nothing is there yet, or an empty folder."""
    kind = files.get_file_info(root).type
    return kind == fs.FileType.NotFound or (
        kind == fs.FileType.Directory and not files.get_file_info(fs.FileSelector(root))
    )


class _PartWriter:
    """Collects rows into row groups and row groups into parts."""

    def __init__(self, folder: Path, header: Header) -> None:
        self._folder, self._header = folder, header
        self._schema = schema_of(header.task)
        self._rows: list[dict] = []
        self._writer: pq.ParquetWriter | None = None
        self._part_rows = self._part_bytes = 0
        self._parts: list[Part] = []
        self._ids: set[str] = set()
        self._labels: set[str] = set()
        self._digest = RowsDigest()

    def add(self, row: ShardRow) -> None:
        self._check(row)
        record = self._record(row)
        self._digest.add(row.image_id, row.label, row.patient, row.image.shape, record["sha256"], row.labels)
        self._rows.append(record)
        self._part_bytes += len(record["image"])
        if len(self._rows) == _GROUP_ROWS:
            self._flush()
        if self._part_bytes >= _PART_BYTES:
            self._close_part()

    def close(self, dst: Path | str) -> Manifest:
        self._close_part()
        if not self._ids:
            raise InputError(dst, "no image to write", "check that the source folder holds the expected layout")
        header = self._header
        positive = "" if self._multi_label else header.positive or guess_positive(header.classes or self._labels)
        fields = {f.name: getattr(header, f.name) for f in dataclasses.fields(header)}
        fields["classes"] = tuple(header.classes) or class_order(self._labels, positive)
        fields["positive"] = positive
        fields["settings"] = dict(header.settings)
        return Manifest(**fields, images=len(self._ids), parts=tuple(self._parts), sha256=self._digest.hexdigest())

    @property
    def _multi_label(self) -> bool:
        return self._header.task == MULTI_LABEL

    def _check(self, row: ShardRow) -> None:
        where = row.source_path or row.image_id
        if not row.image_id:
            raise InputError(where, "the image has no id", "give every image an id")
        if row.image_id in self._ids:
            raise InputError(where, f"the id {row.image_id!r} comes twice", "rename one of the images")
        self._check_label(row, where)
        if row.image.dtype != np.uint8 or row.image.ndim != 2 or 0 in row.image.shape:
            raise ValueError(f"{row.image_id}: want uint8 [H, W], got {row.image.dtype} {row.image.shape}")
        self._ids.add(row.image_id)
        if row.label is not None:
            self._labels.add(row.label)

    def _check_label(self, row: ShardRow, where: str) -> None:
        classes = self._header.classes
        if self._multi_label:
            checked(np.array([row.labels]), classes, where)
        elif row.label is None and self._header.labelled:
            raise InputError(where, "the image has no label", "give it one, or write the data set as unlabelled")
        elif row.label is not None and (not row.label or (classes and row.label not in classes)):
            fix = f"use one of {', '.join(classes)}" if classes else "give the class a name"
            raise InputError(where, f"label {row.label!r} is none of the classes", fix)

    def _record(self, row: ShardRow) -> dict:
        pixels = row.image.tobytes()
        height, width = row.image.shape
        return {
            "image_id": row.image_id, "image": pixels, "height": height, "width": width,
            "label": row.label, "patient": row.patient, "dataset": self._header.name,
            "domain": row.domain or self._header.domain, "licence": self._header.licence,
            "sha256": hashlib.sha256(pixels).hexdigest(), "source_path": row.source_path,
            "original_height": row.original_height or height, "original_width": row.original_width or width,
            "colour": row.colour, "transparent": row.transparent, "labels": list(row.labels),
        }  # fmt: skip

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path(), self._schema, compression=_COMPRESSION, use_dictionary=_DICTIONARY, write_statistics=False
            )
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._part_rows += len(self._rows)
        self._rows = []

    def _close_part(self) -> None:
        self._flush()
        if self._writer is None:
            return
        self._writer.close()
        path = self._path()
        self._parts.append(Part(path.name, self._part_rows, path.stat().st_size, file_sha256(path)))
        self._writer, self._part_rows, self._part_bytes = None, 0, 0

    def _path(self) -> Path:
        return self._folder / f"part-{len(self._parts):05d}.parquet"
