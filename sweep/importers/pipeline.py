"""Published layout -> shards: decode, grey, shrink, write; whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.blocks import BLOCK, Job, cache, rows_by_block, tolerate
from sweep.importers.decode import Decoded, read_grey
from sweep.importers.raw import Importer, RawImage
from sweep.importers.roi import crop_to_lesion
from sweep.shards.resize import shrink
from sweep.shards.schema import MULTI_LABEL, SINGLE_LABEL, Header, Manifest, ShardRow
from sweep.shards.writer import write_dataset

_PARALLEL_FROM = 8192  # images from which starting Ray pays
_SMALLEST_SIDE = 8  # pixels; below that a file is a placeholder, not a scan


def run_import(
    name: str,
    row: Importer,
    src: Path | str | None,
    dst: Path | str,
    *,
    domain: str | None = None,
    import_px: int = 256,
    skip_bad: int = 0,
    on_image: Callable[[int], None] | None = None,
    workers: int | None = None,
    **options: Any,
) -> Manifest:
    """Read `src` by the layout `row` and write shards to the new folder `dst`.

    `import_px` bounds the longer side in pixels; up to `skip_bad` unreadable images are left out and listed in
    the manifest's settings; `on_image` is told the number of images done; `options` are those of `row`. Large sets are
    decoded by `workers` processes (default: one per core from 8,192 images on, this one below) and, when killed, go on where
    they were. Raises InputError for any mistake in what was given; only blocks of a large set that are done stay.
    """
    chosen = _options(name, row, options)
    if import_px < _SMALLEST_SIDE:
        raise InputError("import_px", f"{import_px} pixels are too few", f"ask for {_SMALLEST_SIDE} or more")
    folder = _source(name, row, src)
    findings = row.findings(chosen)
    header = Header(
        name=name, domain=domain or row.domain or name, classes=findings or row.classes, positive=row.positive,
        task=MULTI_LABEL if findings else SINGLE_LABEL,
        licence=row.licence, citation=row.citation, source=row.source, import_px=import_px,
        settings={"importer": name, **chosen, "skipped": []},
    )  # fmt: skip
    job = Job(header, partial(shard_row, import_px=import_px), skip_bad)
    images = row.iterate(folder, chosen)
    first = list(islice(images, _PARALLEL_FROM if workers is None else BLOCK + 1))
    if len(first) <= BLOCK:
        return write_dataset(dst, header, _counted(_rows(first, job), on_image))
    wanted = workers or (os.cpu_count() or 1 if len(first) == _PARALLEL_FROM else 1)
    with _ray(wanted), cache(dst) as blocks:
        rows = rows_by_block(chain(first, images), blocks, replace(job, workers=wanted))
        return write_dataset(dst, header, _counted(rows, on_image))


@contextmanager
def _ray(workers: int) -> Iterator[None]:
    """Ray on this machine for as long as it is needed, or not at all."""
    if workers == 1:
        yield
        return
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    import ray.data  # sets its loggers up when imported, so they are turned down after that

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


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


def _rows(images: Iterable[RawImage], job: Job) -> Iterator[ShardRow]:
    for raw in images:
        try:
            yield job.decode(raw)
        except InputError as bad:
            tolerate([bad], job)


def shard_row(raw: RawImage, import_px: int) -> ShardRow:
    """Decode one image; InputError names what cannot be one."""
    decoded = _decoded(raw)
    height, width = decoded.grey.shape
    if min(height, width) < _SMALLEST_SIDE:
        raise InputError(raw.path or raw.image_id, f"{width} x {height} pixels hold no scan", "remove the file")
    cropped = raw.roi != "none" and raw.path is not None
    grey = crop_to_lesion(decoded.grey, raw.masks, raw.roi, raw.path) if cropped else decoded.grey
    return ShardRow(
        image_id=raw.image_id, image=shrink(grey, import_px), label=raw.label, patient=raw.patient,
        domain=raw.domain, source_path=raw.source_path, original_height=height, original_width=width,
        colour=decoded.colour, transparent=decoded.transparent, labels=raw.labels,
    )  # fmt: skip


def _decoded(raw: RawImage) -> Decoded:
    if raw.pixels is not None:
        return Decoded(raw.pixels, 0.0, False)
    if raw.path is None:
        raise ValueError(f"{raw.image_id}: an importer gave neither path nor pixels")
    return (raw.read or read_grey)(raw.path)


def _counted(rows: Iterator[ShardRow], on_image: Callable[[int], None] | None) -> Iterator[ShardRow]:
    for number, row in enumerate(rows, start=1):
        yield row
        if on_image is not None:
            on_image(number)
