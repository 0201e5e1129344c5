"""Shard folder -> Ray Data, for data that does not fit in memory and for workers that read their own share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sweep.core.errors import InputError
from sweep.shards.image_set import ImageSet
from sweep.shards.labels import apply_normals, classes_after
from sweep.shards.location import absolute
from sweep.shards.reader import decode_column, groups_of, labels_of, part_paths, read_manifest, read_metadata

if TYPE_CHECKING:
    import ray.data

# Ray 2.60's second reader starts dozens of footer-reading actors per dataset: seconds, for a few small files.
os.environ.setdefault("RAY_DATA_USE_DATASOURCE_V2", "0")

# A whole CPU per reading task starves behind booked training workers, and then nothing moves.
TASK_CPUS = 0.25
_BATCH = 256


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
            raise InputError(folder, f"image {missing!r} is not in this data set", "use the ids of a split of it")
    labels = labels_of(frame, classes, folder)
    wanted = dict(zip(frame["image_id"], zip(labels.tolist(), groups_of(frame).tolist(), strict=True), strict=True))
    rows = ray.data.read_parquet(
        part_paths(folder),
        columns=["image_id", "image", "height", "width"],
        num_cpus=TASK_CPUS,
    )
    return rows.map_batches(
        _decode, fn_args=(ray.put(wanted), image_px, fit), batch_size=_BATCH, batch_format="pyarrow",
        num_cpus=TASK_CPUS, zero_copy_batch=True,
    )  # fmt: skip


def collect(
    rows: Any, classes: Sequence[str], domain: str, image_ids: Sequence[str] | None = None
) -> ImageSet:
    """Gather a Ray dataset or a train worker's shard of it into memory.

    `rows` has `iter_batches`. The result is ordered by `image_ids` where given, else by id, so that it does not
    depend on the order in which tasks ended.
    """
    batches = [batch for batch in rows.iter_batches(batch_size=_BATCH, batch_format="numpy") if len(batch["label"])]
    if not batches:
        raise InputError("training data", "the data set holds no rows for this worker", "use fewer workers")
    ids = np.concatenate([batch["image_id"] for batch in batches]).astype(str)
    if image_ids is None:
        order = np.argsort(ids, kind="stable")
    else:
        place = {image_id: index for index, image_id in enumerate(ids)}
        order = np.array([place[image_id] for image_id in image_ids], dtype=np.int64)
    return ImageSet(
        images=np.concatenate([batch["image"] for batch in batches])[order],
        labels=np.concatenate([batch["label"] for batch in batches])[order],
        ids=ids[order],
        groups=np.concatenate([batch["group"] for batch in batches]).astype(str)[order],
        classes=tuple(classes),
        domain=domain,
        synthetic=np.zeros(len(ids), dtype=bool),
    )


def _decode(table: pa.Table, wanted: Any, image_px: int, fit: str) -> dict[str, np.ndarray]:
    """The step between reading and training, run inside Ray's tasks; `wanted` maps ids to (label, group)."""
    import ray

    known = ray.get(wanted) if isinstance(wanted, ray.ObjectRef) else wanted
    keep = np.array([image_id in known for image_id in table["image_id"].to_pylist()], dtype=bool)
    table = table.filter(pa.array(keep)).combine_chunks()
    ids = table["image_id"].to_pylist()
    columns = (_whole(table[name]) for name in ("image", "height", "width"))
    return {
        "image": decode_column(*columns, image_px, fit),
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
