"""Published layout -> shards: decode, grey, shrink, write; whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers.blocks import BLOCK, Job, Violation, cache, rows_by_block, tolerate
from sweep.importers.decode import Decoded, read_grey
from sweep.importers.raw import Importer, RawImage
from sweep.importers.roi import crop_to_lesion
from sweep.shards.resize import shrink
from sweep.shards.schema import MULTI_LABEL, SINGLE_LABEL, Header, Manifest, ShardRow
from sweep.shards.writer import write_dataset

_PARALLEL_FROM = 8192  # images from which starting Ray pays
_SMALLEST_SIDE = 8  # pixels; below that a file is a placeholder, not a scan
_DARKEST_SET = (
    64  # grey level that some pixel of a data set exceeds: 14-bit values in 16-bit files, taken for 16 bits, do not
)


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
    on_skip: Callable[[InputError], None] | None = None,
    on_total: Callable[[int], None] | None = None,
    workers: int | None = None,
    depth: int | None = None,
    **options: Any,
) -> Manifest:
    """Read `src` by the layout `row` and write shards to the new folder `dst`.

    `import_px` bounds the longer side in pixels; `depth` is the number of bits of files deeper than eight where it is not the
    files' own; up to `skip_bad` images that are unreadable, missing or listed twice are left out and listed in the manifest's
    settings. `on_image` is told the number of images done, `on_skip` each violation, `on_total` how many there will be, where
    that is known; `options` are those of `row`. Large sets are decoded by `workers` processes (default: one per core from 8,192
    files on, this one below) and, when killed, go on where they were. Raises InputError for any mistake in what was given;
    only blocks of a large set that are done stay.
    """
    chosen = _options(name, row, options)
    _check_numbers(import_px, skip_bad, depth)
    folder = _source(name, row, src)
    findings = row.findings(chosen)
    header = Header(
        name=name, domain=domain or row.domain or name, classes=findings or row.classes, positive=row.positive,
        task=MULTI_LABEL if findings else SINGLE_LABEL,
        licence=row.licence, citation=row.citation, source=row.source, import_px=import_px,
        settings={"importer": name, **chosen, **({"depth": depth} if depth else {}), "skipped": []},
    )  # fmt: skip
    job = Job(header, partial(shard_row, import_px=import_px, depth=depth), skip_bad, on_skip=on_skip)
    if on_total is not None and (total := _total(row, folder, chosen)) is not None:
        on_total(total)
    images = _once(row.iterate(folder, chosen))
    first = list(islice(images, BLOCK + 1))
    if len(first) <= BLOCK:
        return write_dataset(dst, header, _told(_rows(first, job), on_image, dst, depth))
    # What comes decoded is never held by the thousand, and has nothing left to spread over processes.
    decoded = first[0].pixels is not None
    if workers is None and not decoded:
        first += islice(images, _PARALLEL_FROM - len(first))
    wanted = 1 if decoded else workers or (os.cpu_count() or 1 if len(first) == _PARALLEL_FROM else 1)
    with _ray(wanted), cache(dst) as blocks:
        rows = rows_by_block(_shared_models(first, images), blocks, replace(job, workers=wanted))
        return write_dataset(dst, header, _told(rows, on_image, dst, depth))


def _check_numbers(import_px: int, skip_bad: int, depth: int | None) -> None:
    if import_px < _SMALLEST_SIDE:
        raise InputError("import_px (--px)", f"{import_px} pixels are too few", f"ask for {_SMALLEST_SIDE} or more")
    if skip_bad < 0:
        raise InputError("skip_bad (--skip-bad)", f"{skip_bad} is no number of images", "give 0 or more")
    if depth is not None and not 8 <= depth <= 16:
        raise InputError("depth (--depth)", f"{depth} bits", "give 8 to 16, or leave it to the files")


def _total(row: Importer, src: Path, options: Mapping[str, Any]) -> int | None:
    return row.total(src, options) if row.total is not None else sum(1 for _ in row.iterate(src, options))


def _once(images: Iterable[RawImage]) -> Iterator[RawImage]:
    """The images, each one whose id has come before marked as bad."""
    seen: set[str] = set()
    for image in images:
        if image.image_id in seen and image.bad is None:
            where = image.path or image.source_path or image.image_id
            image = replace(
                image,
                bad=InputError(
                    where, f"the id {image.image_id!r} comes twice", "rename one of the images, or pass --skip-bad N"
                ),
            )
        seen.add(image.image_id)
        yield image


def _shared_models(first: list[RawImage], rest: Iterator[RawImage]) -> Iterator[RawImage]:
    """What was looked at ahead, let go of one by one, then the rest."""
    first.reverse()
    while first:
        yield first.pop()
    yield from rest


@contextmanager
def _ray(workers: int) -> Iterator[None]:
    """Ray on this machine for as long as it is needed, or not at all."""
    if workers == 1:
        yield
        return
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(
            address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
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
            fix = suggestion(option, row.options) if row.options else "it takes none"
            raise InputError(f"importer {name}", f"unknown option {option!r}", fix)
    chosen = {**row.options, **given}
    for option, allowed in row.choices.items():
        if chosen[option] not in allowed:
            raise InputError(option, f"{chosen[option]!r} is unknown", f"write one of {', '.join(allowed)}")
    return chosen


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
            tolerate([Violation.about(raw, bad)], job)


def shard_row(raw: RawImage, import_px: int, depth: int | None = None) -> ShardRow:
    """Decode one image; InputError names what cannot be one."""
    if raw.bad is not None:
        raise raw.bad
    decoded = _decoded(raw, depth)
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


def _decoded(raw: RawImage, depth: int | None) -> Decoded:
    if raw.pixels is not None:
        return Decoded(raw.pixels, 0.0, False)
    if raw.path is None:
        raise ValueError(f"{raw.image_id}: an importer gave neither path nor pixels")
    return raw.read(raw.path) if raw.read is not None else read_grey(raw.path, depth)


def _told(
    rows: Iterator[ShardRow], on_image: Callable[[int], None] | None, dst: Path | str, depth: int | None
) -> Iterator[ShardRow]:
    """The rows, counted aloud; InputError at their end when all are so dark that their files' depth must be another one."""
    brightest = -1
    for number, row in enumerate(rows, start=1):
        brightest = max(brightest, int(row.image.max()))
        yield row
        if on_image is not None:
            on_image(number)
    if depth is None and 0 <= brightest <= _DARKEST_SET:
        fix = "pass the depth that the scanner wrote, like --depth 12, or --depth 16 when the images are that dark"
        raise InputError(
            dst,
            f"no pixel of any image is brighter than {brightest} of 255 under the depth that the files declare",
            fix,
        )
