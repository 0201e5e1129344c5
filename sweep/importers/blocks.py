"""A large import, block by block: decoded on all cores, and after a kill it continues with the first block that is missing.

A block is a small data set of its own in a hidden folder beside the destination; it is used again only if its files, settings
and labels are those it was made from. The folder goes when the import is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sweep.core.atomic import write_text
from sweep.core.errors import InputError
from sweep.core.hashing import content_hash
from sweep.core.location import absolute, is_url
from sweep.importers.raw import RawImage
from sweep.shards.checked import checked_manifest
from sweep.shards.reader import read_batches
from sweep.shards.schema import MANIFEST, Header, ShardRow, schema_of
from sweep.shards.writer import write_dataset

BLOCK = 512  # images; a kill costs at most these, per core
_WAVE = 16  # blocks handed to Ray Data at once: bounds what is held in memory, and the time between two updates of the counter
_NOTES = "notes.json"  # of a block: violations, which images come from files deeper than eight bits, and warnings of decoders

Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """A row to be written; `deep` when its file has more than eight bits per sample, `warning` that of its decoder."""

    shard: ShardRow
    deep: bool = False
    warning: str = ""


@dataclass(frozen=True)
class Job:
    """How the images of an import become rows; `decode` raises InputError for an image that cannot be one."""

    header: Header
    decode: Callable[[RawImage], Row]
    skip_bad: int = 0
    workers: int = 1  # 1: in this process, without Ray
    on_skip: Callable[[InputError], None] | None = None


@dataclass(frozen=True)
class Violation:
    """Why an image is left out: the error for the terminal, and what is kept of it in the manifest."""

    error: InputError
    kept: str

    @classmethod
    def about(cls, image: RawImage, error: InputError) -> Violation:
        """Where the image has an alias, text of a decoder (in parentheses) is dropped: it may quote the file's header."""
        return cls(error, f"{image.alias}: {error.problem.partition(' (')[0]}" if image.alias else str(error))


@contextmanager
def cache(dst: Path | str) -> Iterator[Path]:
    """The hidden folder of an import's blocks, locked by one process; removed afterwards unless an interrupted import left blocks in it.

    Raises InputError when another process is at the same import.
    """
    folder = _place(dst)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as broken:
        raise InputError(
            dst,
            f"cannot be written ({broken.strerror or broken})",
            "choose a folder that can be written, on a disk with room",
        ) from None
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(dst, "another process is importing into it", "wait for it, or end it first") from None
        _sweep_up(dst)
        try:
            yield folder
        except BaseException:
            if not any(block.is_dir() for block in folder.iterdir()):
                shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


def _sweep_up(dst: Path | str) -> None:
    """Remove what a killed process had begun to write from its blocks; no other process writes there while the lock is held."""
    if not is_url(dst):
        place = Path(absolute(dst))
        for draft in place.parent.glob(f".{place.name}.????????"):
            if not (draft / MANIFEST).exists() and not any(
                path for path in draft.iterdir() if path.suffix != ".parquet"
            ):
                shutil.rmtree(draft)


def _place(dst: Path | str) -> Path:
    if is_url(dst):
        return Path(tempfile.gettempdir()) / f"import-{content_hash(absolute(dst))}"
    return Path(absolute(dst)).parent / f".{Path(dst).name}.importing"


def rows_by_block(images: Iterable[RawImage], folder: Path, job: Job) -> Iterator[Row]:
    """Rows of all images in their order; unreadable ones are left out and noted in the header's settings, up to `skip_bad`.

    InputError when one more is unreadable.
    """
    for wave in _cut(_cut(images, BLOCK), _WAVE if job.workers > 1 else 1):
        places = [folder / _name(block, job) for block in wave]
        missing = [(place, block) for place, block in zip(places, wave, strict=True) if not _is_there(place)]
        if job.workers > 1 and len(missing) > 1:
            _make_in_parallel(missing, job)
        else:
            for place, block in missing:
                _make(place, block, job)
        for place in places:
            notes = json.loads((place / _NOTES).read_text(encoding="utf-8"))
            tolerate([Violation(InputError(*parts), kept) for *parts, kept in notes["violations"]], job)
            yield from _rows(place, job, set(notes["deep"]), notes.get("warnings", {}))


def tolerate(violations: Sequence[Violation], job: Job) -> None:
    """Note violations in the header's settings; raise the first one too many."""
    skipped = job.header.settings["skipped"]
    for violation in violations:
        if len(skipped) >= job.skip_bad:
            raise violation.error
        skipped.append(violation.kept)
        if job.on_skip is not None:
            job.on_skip(violation.error)


def _make_in_parallel(missing: Sequence[tuple[Path, list[RawImage]]], job: Job) -> None:
    """Blocks made by Ray Data's tasks; each is whole or absent, whatever dies."""
    import ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    held = ray.put([os.getcwd(), missing, replace(job, on_skip=None)])  # hooks run in this process
    rows = ray.data.range(len(missing), override_num_blocks=len(missing)).map_batches(
        _task, fn_args=(held,), batch_size=1, batch_format="numpy", num_cpus=1
    )
    for batch in rows.iter_batches(batch_size=1, batch_format="numpy"):
        if batch["where"][0]:
            raise InputError(batch["where"][0], batch["problem"][0], batch["fix"][0])


def _task(numbers: dict[str, np.ndarray], held: Any) -> dict[str, np.ndarray]:
    import ray

    folder, missing, job = ray.get(held)
    place, block = missing[int(numbers["id"][0])]
    error = None
    try:
        with chdir(
            folder
        ):  # the importing process's, which relative paths refer to; Ray may have been started in another one
            _make(place, block, job)
    except InputError as raised:
        error = raised
    told = (
        {"where": error.where, "problem": error.problem, "fix": error.fix}
        if error
        else dict.fromkeys(("where", "problem", "fix"), "")
    )
    return {name: np.array([text], dtype=object) for name, text in told.items()}


def _make(place: Path, block: Iterable[RawImage], job: Job) -> None:
    """Decode one block and write it, whole or not at all; InputError when it has more unreadable images than are tolerated."""
    rows: list[Row] = []
    violations: list[list[str]] = []
    for image in block:
        try:
            rows.append(job.decode(image))
        except InputError as bad:
            violations.append([bad.where, bad.problem, bad.fix, Violation.about(image, bad).kept])
            if len(violations) > job.skip_bad:
                raise
    place.mkdir(parents=True, exist_ok=True)
    deep = [row.shard.image_id for row in rows if row.deep]
    told = {row.shard.image_id: row.warning for row in rows if row.warning}
    write_text(place / _NOTES, json.dumps({"violations": violations, "deep": deep, "warnings": told}))
    if rows:
        shutil.rmtree(place / "rows", ignore_errors=True)
        write_dataset(place / "rows", job.header, [row.shard for row in rows])
    (place / "done").touch()


def _is_there(place: Path) -> bool:
    """Whether a block is complete and undamaged; a damaged one is removed, to be made again."""
    if not (place / "done").exists():
        return False
    rows = place / "rows"
    try:
        if (rows / MANIFEST).exists():
            checked_manifest(rows)
    except InputError:
        shutil.rmtree(place)
        return False
    return True


def _rows(place: Path, job: Job, deep: set[str], warnings: Mapping[str, str]) -> Iterator[Row]:
    if not (place / "rows" / MANIFEST).exists():
        return  # every image of the block was unreadable
    for batch in read_batches(place / "rows", schema_of(job.header.task).names):
        for record in batch.to_pylist():
            pixels = np.frombuffer(record.pop("image"), dtype=np.uint8).reshape(
                record.pop("height"), record.pop("width")
            )
            given = {
                name: value for name, value in record.items() if name not in ("dataset", "licence", "sha256", "labels")
            }
            row = ShardRow(image=pixels, labels=tuple(record.get("labels") or ()), **given)
            yield Row(row, row.image_id in deep, warnings.get(row.image_id, ""))


def _name(block: Iterable[RawImage], job: Job) -> str:
    settings = {name: value for name, value in job.header.settings.items() if name not in ("skipped", "account")}
    header = replace(job.header, settings=settings)
    return content_hash([repr(header), job.skip_bad, [_identity(image) for image in block]], 24)


def _identity(image: RawImage) -> list[str]:
    """What a block's image was made from: its facts, and size and time of its files."""
    pixels = "" if image.pixels is None else hashlib.sha256(image.pixels.tobytes()).hexdigest()
    facts = repr(replace(image, pixels=None, read=None))
    return [facts, pixels, *map(_stamp, (image.path, *image.masks))]


def _stamp(path: Path | None) -> str:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return "absent"
    return f"{found.st_size} {found.st_mtime_ns}" if found else ""


def _cut(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    items = iter(items)
    while block := list(islice(items, size)):
        yield block
