"""Parquet parts against their manifest: columns, types, row counts, and every value that a reader relies on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweep.core.errors import InputError, first_line, of_system, suggestion
from sweep.core.location import below, is_url, located
from sweep.shards.findings import UNCERTAIN
from sweep.shards.manifest import COPY_FIX, IMPORT_FIX
from sweep.shards.schema import MANIFEST, Manifest, Part, RowsDigest, schema_of

# What pyarrow raises on damaged files: its own errors, UnicodeDecodeError (a ValueError), and sizes no memory holds.
PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
_BATCH = 256  # rows checked at once, a row group as written


def check_contents(folder: Path | str, manifest: Manifest) -> None:
    """InputError names the first part, row and column that the manifest or the row layout does not allow."""
    checker = _Checker(manifest)
    for part in manifest.parts:
        path = below(folder, part.file)
        first = 1
        try:
            for batch in _batches(folder, part, manifest):
                checker.check(batch, path, first)
                first += len(batch)
        except PARQUET_ERRORS as broken:
            raise damaged(path, broken) from None
    if checker.hexdigest() != manifest.sha256:
        raise InputError(
            f"{below(folder, MANIFEST)}, sha256", "the rows of the parts are not those it was written for", IMPORT_FIX
        )


def damaged(path: str, error: BaseException) -> InputError:
    """The error for a part that pyarrow cannot read. Where the system refuses to hand it over, another import would not help."""
    if isinstance(error, OSError) and error.errno:
        return InputError(path, f"cannot be read ({os.strerror(error.errno)})", of_system(error).fix)
    if isinstance(error, OSError) and is_url(path):
        return InputError(
            path, f"cannot be read ({first_line(error)})", "check the connection to the store, and the rights there"
        )
    return InputError(path, f"damaged ({first_line(error)})", COPY_FIX)


def _batches(folder: Path | str, part: Part, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    """The rows of one part, after its columns and its row count are checked."""
    files, root = located(folder)
    path, schema = below(folder, part.file), schema_of(manifest.task)
    with files.open_input_file(f"{root}/{part.file}") as stream, pq.ParquetFile(stream) as opened:
        _check_columns(opened.schema_arrow, schema, path)
        if opened.metadata.num_rows != part.rows:
            raise InputError(path, f"{opened.metadata.num_rows} rows where the manifest says {part.rows}", IMPORT_FIX)
        yield from opened.iter_batches(batch_size=_BATCH, columns=schema.names)


def _check_columns(found: pa.Schema, wanted: pa.Schema, path: str) -> None:
    repeated = next((name for name in found.names if found.names.count(name) > 1), None)
    if repeated is not None:
        raise InputError(path, f"the column {repeated!r} is there twice", IMPORT_FIX)
    for field in wanted:
        if field.name not in found.names:
            raise InputError(path, f"the column {field.name!r} is missing", IMPORT_FIX)
        if not found.field(field.name).type.equals(field.type):
            kind = found.field(field.name).type
            raise InputError(f"{path}, column {field.name}", f"{kind} values instead of {field.type}", IMPORT_FIX)
    for name in found.names:
        if name not in wanted.names:
            raise InputError(path, f"unknown column {name!r}", f"{suggestion(name, wanted.names)}; or {IMPORT_FIX}")


class _Checker:
    """Checks rows batch by batch; ids and the digest run through all parts."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._ids: set[str] = set()
        self._digest = RowsDigest()

    def check(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        """InputError names the row (counted from 1 within the part) and the column of a value that is not allowed."""
        self._check_nulls(batch, path, first)
        self._check_numbers(batch, path, first)
        self._check_texts(batch, path, first)
        if self._manifest.multi_label:
            self._check_findings(batch, path, first)
        self._check_pixels(batch, path, first)
        self._add_to_digest(batch, path, first)

    def hexdigest(self) -> str:
        """Identity of all rows checked."""
        return self._digest.hexdigest()

    def _check_nulls(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        for name in batch.schema.names:
            column = batch.column(name)
            if column.null_count and not (name == "label" and not self._manifest.labelled):
                row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
                raise _wrong(path, first + row, name, "no value")

    def _check_numbers(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        for name in ("height", "width", "original_height", "original_width"):
            values = batch.column(name).to_numpy()
            _refuse(values < 1, values, path, first, name, "pixels")
        colour = batch.column("colour").to_numpy()
        _refuse(~((colour >= 0) & (colour <= 1)), colour, path, first, "colour", "is no share from 0 to 1")

    def _check_texts(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        manifest = self._manifest
        allowed = {"dataset": {manifest.name}, "licence": {manifest.licence}}
        if not manifest.multi_label:
            allowed["label"] = {*manifest.classes, *(() if manifest.labelled else (None,))}
        for name, values in allowed.items():
            column = batch.column(name)
            strange = set(pc.unique(column).to_pylist()) - values
            if strange:
                found = column.to_pylist()
                row = next(number for number, value in enumerate(found) if value in strange)
                wanted = "a class of the manifest" if name == "label" else f"the manifest's {min(values)!r}"
                raise _wrong(path, first + row, name, f"{found[row]!r} is not {wanted}")

    def _check_findings(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        column, wanted = batch.column("labels"), len(self._manifest.classes)
        counts = pc.list_value_length(column).to_numpy()
        _refuse(counts != wanted, counts, path, first, "labels", f"labels for {wanted} findings")
        values = column.flatten()
        if values.null_count:
            row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]) // wanted
            raise _wrong(path, first + row, "labels", "no value (unknown is NaN)")
        labels = values.to_numpy().reshape(-1, wanted)
        strange = ~np.isnan(labels) & ~np.isin(labels, (0, 1, UNCERTAIN))
        if strange.any():
            row = int(np.flatnonzero(strange.any(axis=1))[0])
            raise _wrong(path, first + row, "labels", f"{labels[row][strange[row]][0]:g} is none of 1, 0, -1, NaN")

    def _check_pixels(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        sizes = batch.column("height").to_numpy().astype(np.int64) * batch.column("width").to_numpy()
        hashes = batch.column("sha256").to_pylist()
        for row, (image, size, expected) in enumerate(zip(batch.column("image"), sizes, hashes, strict=True)):
            pixels = image.as_buffer()
            if pixels.size != size:
                raise _wrong(path, first + row, "image", f"{pixels.size} bytes, height x width is {size}")
            if hashlib.sha256(pixels).hexdigest() != expected:
                raise _wrong(path, first + row, "image", "its pixels do not have the hash in column sha256")

    def _add_to_digest(self, batch: pa.RecordBatch, path: str, first: int) -> None:
        names = ["image_id", "label", "patient", "height", "width", "sha256"]
        columns = [batch.column(name).to_pylist() for name in names]
        findings = batch.column("labels").to_pylist() if self._manifest.multi_label else [()] * len(batch)
        rows = zip(*columns, findings, strict=True)
        for row, (image_id, label, patient, height, width, sha256, labels) in enumerate(rows):
            if not image_id or image_id in self._ids:
                problem = f"{image_id!r} comes twice" if image_id else "an empty id"
                raise _wrong(path, first + row, "image_id", problem)
            self._ids.add(image_id)
            self._digest.add(image_id, label, patient, (height, width), sha256, labels)


def _refuse(wrong: np.ndarray, values: np.ndarray, path: str, first: int, column: str, problem: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise _wrong(path, first + row, column, f"{values[row]:g} {problem}")


def _wrong(path: str, row: int, column: str, problem: str) -> InputError:
    return InputError(f"{path}, row {row}, column {column}", problem, IMPORT_FIX)
