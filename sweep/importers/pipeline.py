"""Published layout -> shards: decode, grey, shrink, write; whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError, suggestion
from sweep.core.location import absolute, is_url
from sweep.importers.account import CHECKS, Account
from sweep.importers.blocks import BLOCK, Job, Row, Violation, cache, rows_by_block, tolerate
from sweep.importers.decode import Decoded, decode, read_grey
from sweep.importers.raw import Importer, RawImage, storable
from sweep.importers.roi import crop_to_lesion
from sweep.shards.resize import shrink
from sweep.shards.schema import MULTI_LABEL, SINGLE_LABEL, Header, Manifest, ShardRow
from sweep.shards.writer import write_dataset

_PARALLEL_FROM = 8192  # images from which starting Ray pays
_SMALLEST_SIDE = 8  # pixels; below that a file is a placeholder, not a scan
_DARKEST_SET = (
    64  # grey levels that some deep file of a data set spans: 14-bit values in 16-bit files, taken for 16 bits, do not
)
_DARK_FILE = 16  # grey levels that 12-bit values taken for 16 bits span at most
_DARK_SHARE = 0.1  # of the deep files, from which that many so dark ones are no accident


@dataclass(frozen=True)
class Settings:
    """What every importer can be told.

    `domain` names the hospital or scanner (default: the layout's own); `import_px` bounds the longer side in pixels; `depth` is the
    number of bits of files deeper than eight where it is not the files' own; up to `skip_bad` images that are unreadable, missing
    or listed twice are left out. Large sets are decoded by `workers` processes (default: one per core from 8,192 files on, this
    one below). `accept` names checks of the result that are waived (`account.CHECKS`).
    """

    domain: str | None = None
    import_px: int = 256
    skip_bad: int = 0
    workers: int | None = None
    depth: int | None = None
    accept: Sequence[str] = ()


@dataclass(frozen=True)
class Hooks:
    """Who is told what while an import runs: `on_image` the number of images done, `on_skip` each violation, `on_total` how many
    there will be, where that is known, and `on_account` what was seen and done, once everything is read."""

    on_image: Callable[[int], None] | None = None
    on_skip: Callable[[InputError], None] | None = None
    on_total: Callable[[int], None] | None = None
    on_account: Callable[[Account], None] | None = None


def run_import(
    name: str,
    row: Importer,
    src: Path | str | None,
    dst: Path | str,
    options: Mapping[str, Any],
    settings: Settings = Settings(),
    hooks: Hooks = Hooks(),
) -> Manifest:
    """Read `src` by the layout `row`, with its own `options`, and write shards to the new folder `dst`.

    A large import that was killed continues where it was. Raises InputError for any mistake in what was given, and for a result that
    cannot be meant; only finished blocks of a large set stay.
    """
    chosen = chosen_options(name, row, options)
    _check_settings(settings)
    folder = source_folder(name, row, src)
    if row.needs_source:
        _check_destination(folder, dst)
    header = _header(name, row, settings, chosen)
    job = Job(
        header,
        partial(shard_row, import_px=settings.import_px, depth=settings.depth),
        settings.skip_bad,
        on_skip=hooks.on_skip,
    )
    given = {**chosen, "depth": settings.depth, "accept": settings.accept}
    if hooks.on_total is not None and (total := _total(row, folder, given)) is not None:
        hooks.on_total(total)
    account = Account(grouped_by=row.grouped_by(chosen))
    images = _once(account.images(row.iterate(folder, given)))
    root = row.root(folder, given) if row.needs_source else None
    result = _Result(account, header, settings, hooks, folder if row.needs_source else None, root)
    first = list(islice(images, BLOCK + 1))
    if len(first) <= BLOCK:
        with cache(dst):  # empty here: it locks the destination and clears what a killed import left beside it
            return write_dataset(dst, header, result.counted(_rows(first, job)))
    # What comes decoded is never held by the thousand, and has nothing left to spread over processes.
    decoded = first[0].pixels is not None
    if settings.workers is None and not decoded:
        first += islice(images, _PARALLEL_FROM - len(first))
    wanted = 1 if decoded else settings.workers or (os.cpu_count() or 1 if len(first) == _PARALLEL_FROM else 1)
    with _ray(wanted), cache(dst) as blocks:
        rows = rows_by_block(_released(first, images), blocks, replace(job, workers=wanted))
        return write_dataset(dst, header, result.counted(rows))


def _header(name: str, row: Importer, settings: Settings, chosen: Mapping[str, Any]) -> Header:
    findings = row.findings(chosen)
    # Where files lay on this machine is no property of the data set, and may name people.
    kept = {option: _kept(option, value) if option in row.path_options else value for option, value in chosen.items()}
    general = {"depth": settings.depth} if settings.depth else {}
    waived = {"accept": sorted(settings.accept)} if settings.accept else {}
    return Header(
        name=name, domain=settings.domain or row.domain or name, classes=findings or row.classes, positive=row.positive,
        task=MULTI_LABEL if findings else SINGLE_LABEL,
        licence=row.licence, citation=row.citation, source=row.source, import_px=settings.import_px,
        settings={"importer": name, **kept, **general, **waived, "skipped": []},
        labelled=not chosen.get("unlabelled", False),
    )  # fmt: skip


def _kept(option: str, value: str) -> str:
    """What the manifest keeps of a path: its last part, and of a key file that there was one."""
    return ("given" if option == "key_file" else Path(value).name) if value else ""


def _check_settings(settings: Settings) -> None:
    if settings.import_px < _SMALLEST_SIDE:
        problem = f"{settings.import_px} pixels are too few"
        raise InputError("import_px (--px)", problem, f"ask for {_SMALLEST_SIDE} or more")
    if settings.skip_bad < 0:
        raise InputError("skip_bad (--skip-bad)", f"{settings.skip_bad} is no number of images", "give 0 or more")
    if settings.depth is not None and not 8 <= settings.depth <= 16:
        raise InputError("depth (--depth)", f"{settings.depth} bits", "give 8 to 16, or leave it to the files")
    if settings.domain is not None and not (settings.domain.strip() and settings.domain.isprintable()):
        problem = f"{settings.domain!r} is no name"
        raise InputError("domain (--domain)", problem, "give the name of the hospital or scanner, or leave it out")
    for check in settings.accept:
        if check not in CHECKS:
            raise InputError("accept (--accept)", f"{check!r} is no check", suggestion(check, CHECKS))


def _total(row: Importer, src: Path, options: Mapping[str, Any]) -> int | None:
    if row.total is not None:
        return row.total(src, options)
    return sum(isinstance(event, RawImage) for event in row.iterate(src, options))


def _once(images: Iterable[RawImage]) -> Iterator[RawImage]:
    """The images with names that can be stored, each one whose id has come before marked as bad.

    Raises InputError where the two have different labels or patients: nothing says which one is right.
    """
    seen: dict[str, tuple[str, str, Path | None]] = {}
    for given in images:
        image = _storable(given)
        if image.image_id in seen:
            image = replace(image, bad=image.bad or _twice(seen[image.image_id], image))
        seen[image.image_id] = image.label, image.patient, image.path
        yield image


def _twice(before: tuple[str, str, Path | None], image: RawImage) -> InputError:
    """What is said of an image whose id has come before, with label, patient and path; raises InputError where the two contradict each other."""
    *facts, path = before
    where = image.path or image.source_path or image.image_id
    other = path is not None and path != image.path
    for what, first, second in zip(("labels", "patients"), facts, (image.label, image.patient), strict=True):
        if first != second and first and second:
            as_well = f", as {path}" if other else ""
            raise InputError(
                where, f"listed twice{as_well}, with the {what} {first!r} and {second!r}", "remove the wrong one"
            )
    if image.alias and other:  # the id is that of the header; a problem is kept in the manifest, which names no path
        return InputError(where, "the same image as another file", f"remove it or {path}, or pass --skip-bad N")
    fix = f"{'rename one of the images' if other else 'remove one of its rows'}, or pass --skip-bad N"
    return InputError(where, f"the id {image.image_id!r} comes twice", fix)


def _storable(image: RawImage) -> RawImage:
    """The image with names that UTF-8 text and a terminal can show."""
    names = {name: getattr(image, name) for name in ("image_id", "label", "patient", "source_path", "alias")}
    if all(name.isprintable() for name in names.values()):
        return image
    shown: dict[str, Any] = {name: storable(value) for name, value in names.items()}
    return replace(image, **shown)


def _released(first: list[RawImage], rest: Iterator[RawImage]) -> Iterator[RawImage]:
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


def chosen_options(name: str, row: Importer, given: Mapping[str, Any]) -> dict[str, Any]:
    """The importer's own options, those that are not given with their defaults. Raises InputError for unknown ones and values."""
    for option in given:
        if option not in row.options:
            fix = suggestion(option, row.options) if row.options else "it takes none"
            raise InputError(f"importer {name}", f"unknown option {option!r}", fix)
    chosen = {**row.options, **given}
    for option, allowed in row.choices.items():
        if chosen[option] not in allowed:
            raise InputError(option, f"{chosen[option]!r} is unknown", f"write one of {', '.join(allowed)}")
    return chosen


def source_folder(name: str, row: Importer, src: Path | str | None) -> Path:
    """The source as a path. Raises InputError when an importer that needs one gets none, or one that is not there."""
    if not row.needs_source:
        return Path()
    if src is None:
        raise InputError(f"importer {name}", "no source folder given", f"expects {row.expects}")
    if not str(src).strip() or "\0" in str(src):  # Path("") would be the folder that the command runs in
        raise InputError("SRC", f"{str(src)!r} is no path", f"give the source: {row.expects}")
    if not Path(src).exists():
        raise InputError(src, "there is no such file or folder", f"expects {row.expects}")
    return Path(src)


def _check_destination(src: Path, dst: Path | str) -> None:
    """InputError when the new shards would lie among the files that are read, or the source in the folder that is written.

    A table or an archive may lie beside the destination: the folder around it is not listed.
    """
    if is_url(dst):
        return
    source, target = src.resolve(), Path(absolute(dst)).resolve()
    if source == target:
        problem = "it is the source itself"
    elif source in target.parents:
        problem = f"it lies inside the source {src}"
    elif target in source.parents:
        problem = f"the source {src} lies inside it"
    else:
        return
    raise InputError(dst, problem, "choose a new folder beside the source, like shards/NAME")


def _rows(images: Iterable[RawImage], job: Job) -> Iterator[Row]:
    for raw in images:
        try:
            yield job.decode(raw)
        except InputError as bad:
            tolerate([Violation.about(raw, bad)], job)


def shard_row(raw: RawImage, import_px: int, depth: int | None = None) -> Row:
    """Decode one image; InputError names what cannot be one."""
    if raw.bad is not None:
        raise raw.bad
    decoded = _decoded(raw, depth)
    height, width = decoded.grey.shape
    if min(height, width) < _SMALLEST_SIDE:
        raise InputError(raw.path or raw.image_id, f"{width} x {height} pixels hold no scan", "remove the file")
    grey = decoded.grey
    if raw.roi != "none" and raw.path is not None:
        grey = crop_to_lesion(grey, raw.masks, raw.roi, raw.path)
    small = shrink(grey, import_px)
    if min(small.shape) < min(_SMALLEST_SIDE, import_px // 4):
        problem = f"{width} x {height} pixels: {min(small.shape)} would be left of the shorter side"
        raise InputError(raw.path or raw.image_id, problem, "crop the image to the scan, or remove the file")
    row = ShardRow(
        image_id=raw.image_id, image=small, label=raw.label or None, patient=raw.patient,
        domain=raw.domain, source_path=raw.source_path, original_height=height, original_width=width,
        colour=decoded.colour, transparent=decoded.transparent, labels=raw.labels,
    )  # fmt: skip
    return Row(row, decoded.deep, decoded.warning)


def _decoded(raw: RawImage, depth: int | None) -> Decoded:
    if raw.pixels is not None:
        return Decoded(raw.pixels, 0.0, False)
    if raw.path is None:
        raise ValueError(f"{raw.image_id}: an importer gave neither path nor pixels")
    return decode(raw.path, raw.read or partial(read_grey, depth=depth))


@dataclass
class _Result:
    """The rows of one import on their way to the shards, counted, and checked at their end."""

    account: Account
    header: Header
    settings: Settings
    hooks: Hooks
    where: Path | None  # the source, None where the images are computed
    root: Path | None

    def counted(self, rows: Iterable[Row]) -> Iterator[ShardRow]:
        """The rows; InputError at their end when the data set that they make cannot be meant."""
        spans: list[int] = []  # grey levels that each image from a deep file spans
        for number, row in enumerate(rows, start=1):
            if row.deep:
                spans.append(int(np.ptp(row.shard.image)))
                if spans[-1] <= _DARK_FILE:
                    count, first = self.account.dark
                    self.account.dark = count + 1, first or row.shard.source_path or row.shard.image_id
            self.account.take(row.shard)
            if row.warning:
                count, first, told = self.account.warned
                name = first or row.shard.source_path or row.shard.image_id
                self.account.warned = count + 1, name, told or row.warning
            if np.ptp(row.shard.image) == 0:
                count, first = self.account.flat
                self.account.flat = count + 1, first or row.shard.source_path or row.shard.image_id
            yield row.shard
            if self.hooks.on_image is not None:
                self.hooks.on_image(number)
        if self.settings.depth is None and self.where is not None:
            _check_depth(spans, self.where)
        self._finish()

    def _finish(self) -> None:
        header, account = self.header, self.account
        account.refused = len(header.settings["skipped"])
        account.close(self.root)
        if account.read and self.where is not None:
            one_class_each = header.task == SINGLE_LABEL and header.labelled
            account.check(self.where, header.classes, self.settings.accept, one_class_each)
        if isinstance(header.settings, dict):
            header.settings["account"] = account.to_json()
        if self.hooks.on_account is not None:
            self.hooks.on_account(account)


def _check_depth(spans: Sequence[int], where: Path | str) -> None:
    """InputError when files of more than eight bits span so few greys that their depth must be another one than they declare."""
    fix = "pass the depth that the scanner wrote, like --depth 12, or --depth 16 when the images are that dark"
    if spans and max(spans) <= _DARKEST_SET:
        which = (
            f"none of the {len(spans)} images of more than eight bits spans more than {max(spans)} of 255 grey levels"
        )
        raise InputError(where, f"{which} under the depth that the files declare", fix)
    dark = sum(level <= _DARK_FILE for level in spans)
    if dark > 1 and dark >= _DARK_SHARE * len(spans):
        problem = f"{dark} of {len(spans)} images of more than eight bits are of one grey (at most {_DARK_FILE} of 255 levels) under the depth that the files declare"
        raise InputError(where, problem, f"bring all to one depth, or {fix}")
