"""Published layout -> shards: decode, grey, shrink, write; whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.decode import Decoded, read_grey
from sweep.importers.raw import Importer, RawImage
from sweep.importers.table import IMPORTERS
from sweep.shards.resize import shrink
from sweep.shards.schema import Header, Manifest, ShardRow
from sweep.shards.writer import write_dataset

_SMALLEST_SIDE = 8  # pixels; below that a file is a placeholder, not a scan


def import_dataset(
    name: str,
    src: Path | str | None,
    dst: Path | str,
    *,
    domain: str | None = None,
    import_px: int = 256,
    on_image: Callable[[int], None] | None = None,
    **options: Any,
) -> Manifest:
    """Read `src` by the layout `name` and write shards to the new folder `dst`.

    `import_px` bounds the longer side in pixels; `on_image` is told the number of images done; `options` are
    those of the importer's row. Raises InputError for any mistake in what was given, leaving nothing behind.
    """
    row = _row(name)
    chosen = _options(name, row, options)
    if import_px < _SMALLEST_SIDE:
        raise InputError("import_px", f"{import_px} pixels are too few", f"ask for {_SMALLEST_SIDE} or more")
    folder = _source(name, row, src)
    header = Header(
        name=name, domain=domain or row.domain or name, classes=row.classes, positive=row.positive,
        licence=row.licence, citation=row.citation, source=row.source, import_px=import_px,
        settings={"importer": name, **chosen},
    )  # fmt: skip
    rows = _rows(row.iterate(folder, chosen), import_px)
    return write_dataset(Path(dst), header, _counted(rows, on_image))


def _row(name: str) -> Importer:
    if name not in IMPORTERS:
        raise InputError("importer", f"{name!r} is unknown", suggestion(name, IMPORTERS))
    return IMPORTERS[name]


def _options(name: str, row: Importer, given: Mapping[str, Any]) -> dict[str, Any]:
    for option in given:
        if option not in row.options:
            cure = suggestion(option, row.options) if row.options else "it takes none"
            raise InputError(f"importer {name}", f"unknown option {option!r}", cure)
    return {**row.options, **given}


def _source(name: str, row: Importer, src: Path | str | None) -> Path:
    if not row.needs_source:
        return Path()
    if src is None:
        raise InputError(f"importer {name}", "no source folder given", f"expects {row.expects}")
    if not Path(src).exists():
        raise InputError(src, "there is no such file or folder", f"expects {row.expects}")
    return Path(src)


def _rows(images: Iterator[RawImage], import_px: int) -> Iterator[ShardRow]:
    for raw in images:
        decoded = _decoded(raw)
        height, width = decoded.grey.shape
        if min(height, width) < _SMALLEST_SIDE:
            raise InputError(raw.path or raw.image_id, f"{width} x {height} pixels hold no scan", "remove the file")
        yield ShardRow(
            image_id=raw.image_id, image=shrink(decoded.grey, import_px), label=raw.label, patient=raw.patient,
            source_path=raw.source_path, original_height=height, original_width=width, colour=decoded.colour,
            transparent=decoded.transparent,
        )  # fmt: skip


def _decoded(raw: RawImage) -> Decoded:
    if raw.pixels is not None:
        return Decoded(raw.pixels, 0.0, False)
    if raw.path is None:
        raise ValueError(f"{raw.image_id}: an importer gave neither path nor pixels")
    return read_grey(raw.path)


def _counted(rows: Iterator[ShardRow], on_image: Callable[[int], None] | None) -> Iterator[ShardRow]:
    for number, row in enumerate(rows, start=1):
        yield row
        if on_image is not None:
            on_image(number)
