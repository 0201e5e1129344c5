"""Shard folder -> Ray Data: decoded once for everybody, or read and decoded ahead of a training loop that holds little."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sweep.core.errors import InputError
from sweep.core.location import absolute
from sweep.shards.labels import apply_normals, classes_after
from sweep.shards.lazy import LazyImages
from sweep.shards.manifest import IMPORT_FIX
from sweep.shards.reader import decode_column, groups_of, labels_of, part_paths, read_manifest, read_metadata

if TYPE_CHECKING:
    import ray.data
    import torch

# Ray 2.60's second reader starts dozens of footer-reading actors per dataset: seconds, for a few small files.
os.environ.setdefault("RAY_DATA_USE_DATASOURCE_V2", "0")

# A whole CPU per reading task starves behind booked training workers, and then nothing moves.
TASK_CPUS = 0.25
_BATCH = 256
_TASKS_AHEAD = 4  # tasks at once: one's images are trained on while the next ones come
_TASKS, _SMALLEST_TASK = 8, 256  # an epoch has as many tasks or more, of so many images
_LEAST_BYTES = 128 << 20  # of the object store that a stream may fill; below that Ray Data holds back what it needs


def open_dataset(
    folder: Path | str,
    image_px: int,
    image_ids: Sequence[str] | None = None,
    fit: str = "pad",
    normals: str = "keep",
) -> ray.data.Dataset:
    """Rows {image uint8 [px, px], label int64 (or float32 [K]), image_id str, group str} of a shard folder, decoded lazily.

    Select the columns image and label before `iter_torch_batches`: text makes no tensor. `image_ids` limits the
    rows (order is not kept: Ray Data is free to interleave parts); `normals` is the rule of `labels.apply_normals`.
    Raises InputError when an id is unknown.
    """
    import ray

    folder = absolute(folder)  # reading tasks run in other directories
    classes = classes_after(read_manifest(folder).classes, normals)
    frame = apply_normals(read_metadata(folder), normals)
    if image_ids is not None:
        frame = frame[frame["image_id"].isin(set(image_ids))]
        if len(frame) != len(set(image_ids)):
            missing = sorted(set(image_ids) - set(frame["image_id"]))[0]
            raise InputError(
                folder,
                f"image {missing!r} is not in this data set",
                "use the ids of a split of this folder as it is now: was it imported anew since?",
            )
    labels = labels_of(frame, classes, folder)
    facts = zip(labels.tolist(), groups_of(frame).tolist(), frame["sha256"].tolist(), strict=True)
    wanted = dict(zip(frame["image_id"], facts, strict=True))
    rows = ray.data.read_parquet(
        part_paths(folder),
        columns=["image_id", "image", "height", "width"],
        num_cpus=TASK_CPUS,
    )
    return rows.map_batches(
        _decode, fn_args=(folder, ray.put(wanted), image_px, fit), batch_size=_BATCH, batch_format="pyarrow",
        num_cpus=TASK_CPUS, zero_copy_batch=True,
    )  # fmt: skip


def stream(
    images: LazyImages, orders: Sequence[np.ndarray], batch_size: int, window: int
) -> Generator[torch.Tensor, None, None]:
    """uint8 [batch_size, px, px] after another: the images at each epoch's positions int64 [n], n a multiple of `batch_size`, in order.

    Ray Data tasks read and decode up to `window` positions of one epoch each, a few of them ahead of the caller and never more; the
    first images of an epoch are on their way while the last ones of the epoch before are trained on. The batches lie on the device of
    the Train worker that asks, on the CPU elsewhere.
    """
    import ray

    from sweep.core.ray_internals import throttled

    window = _window_of(max(len(order) for order in orders), batch_size, window)
    pieces = [
        (epoch, start, min(start + window, len(order)))
        for epoch, order in enumerate(orders)
        for start in range(0, len(order), window)
    ]
    shared = ray.put(images), ray.put(list(orders)), ray.put(pieces)
    ahead = min(_TASKS_AHEAD, len(pieces))
    # Not `range`: it pickles a reading function for each of its blocks.
    rows = ray.data.from_items(list(range(len(pieces))), override_num_blocks=len(pieces)).map_batches(
        _piece, fn_args=shared, batch_size=1, batch_format="numpy", num_cpus=TASK_CPUS, compute=ray.data.TaskPoolStrategy(size=ahead),
    )  # fmt: skip
    options = rows.context.execution_options
    options.preserve_order = True
    most = 2 * (ahead + 1) * window * images.image_px**2
    options.resource_limits = ray.data.ExecutionResources.for_limits(object_store_memory=max(_LEAST_BYTES, most))
    rows.context.enable_progress_bars = False
    yield from _in_batches(
        (block["image"] for block in throttled(rows).iter_torch_batches(batch_size=None, prefetch_batches=1)),
        batch_size,
    )


def _window_of(epoch: int, batch_size: int, window: int) -> int:
    """Positions that one task reads: whole batches, and few enough that short epochs too begin at once."""
    return max(1, min(window, max(_SMALLEST_TASK, epoch // _TASKS)) // batch_size) * batch_size


def _piece(numbers: dict[str, np.ndarray], images: Any, orders: Any, pieces: Any) -> dict[str, np.ndarray]:
    """The images of one window, run inside Ray's tasks."""
    import ray

    images, orders, pieces = ray.get([images, orders, pieces])
    epoch, start, end = pieces[int(numbers["item"][0])]
    return {"image": images.read(orders[epoch][start:end])}


def _in_batches(blocks: Iterable[torch.Tensor], batch_size: int) -> Iterator[torch.Tensor]:
    """Blocks of any length cut into batches; only a batch that lies in two blocks is copied."""
    import torch

    rest: torch.Tensor | None = None
    for block in blocks:
        missing = 0 if rest is None else batch_size - len(rest)
        if rest is not None:
            rest, block = torch.cat([rest, block[:missing]]), block[missing:]
            if len(rest) < batch_size:
                continue
            yield rest
        whole = len(block) // batch_size * batch_size
        yield from block[:whole].split(batch_size) if whole else ()
        rest = block[whole:] if whole < len(block) else None


def decoded(folder: Path | str, image_px: int, image_ids: Sequence[str], fit: str = "pad") -> np.ndarray:
    """uint8 [N, image_px, image_px] of `image_ids`, in their order, whatever the order in which Ray's tasks end."""
    place = {image_id: index for index, image_id in enumerate(image_ids)}
    images = np.empty((len(place), image_px, image_px), dtype=np.uint8)
    rows = open_dataset(folder, image_px, image_ids, fit).select_columns(["image_id", "image"])
    for batch in rows.iter_batches(batch_size=_BATCH, batch_format="numpy"):
        images[[place[image_id] for image_id in batch["image_id"]]] = batch["image"]
    return images


def _decode(table: pa.Table, folder: str, wanted: Any, image_px: int, fit: str) -> dict[str, np.ndarray]:
    """The step between reading and training, run inside Ray's tasks; `wanted` maps ids to (label, group, SHA-256 of the pixels).

    The process that opened the data set verified its parts; this one may run on another machine, so it compares the pixels.
    """
    import ray

    known = ray.get(wanted) if isinstance(wanted, ray.ObjectRef) else wanted
    keep = np.array([image_id in known for image_id in table["image_id"].to_pylist()], dtype=bool)
    table = table.filter(pa.array(keep)).combine_chunks()
    ids = table["image_id"].to_pylist()
    images, heights, widths = (_whole(table[name]) for name in ("image", "height", "width"))
    for image_id, image in zip(ids, images, strict=True):
        if hashlib.sha256(image.as_buffer()).hexdigest() != known[image_id][2]:
            raise InputError(
                f"{folder}, image {image_id}", "its pixels changed since the folder was opened", IMPORT_FIX
            )
    return {
        "image": decode_column(images, heights, widths, image_px, fit),
        "label": _label_array([known[image_id][0] for image_id in ids], next(iter(known.values()), (0,))[0]),
        "image_id": np.array(ids, dtype=object),
        "group": np.array([known[image_id][1] for image_id in ids], dtype=object),
    }


def _label_array(labels: list, example: int | list[float]) -> np.ndarray:
    """int64 [N] of class numbers, float32 [N, K] of lists of labels; `example` tells which, for no rows at all."""
    if isinstance(example, list):
        return np.array(labels, dtype=np.float32).reshape(-1, len(example))
    return np.array(labels, dtype=np.int64)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column that may have none."""
    return column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
