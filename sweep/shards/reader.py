"""Shard folder -> manifest, metadata table, decoded images; every row comes from a folder that was verified (`checked`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.core.errors import InputError
from sweep.core.location import below, located
from sweep.shards.checked import checked_manifest, read_manifest, verify
from sweep.shards.contents import damaged
from sweep.shards.findings import stacked
from sweep.shards.image_set import ImageSet
from sweep.shards.labels import apply_normals, classes_after, label_indices
from sweep.shards.resize import fit_square
from sweep.shards.schema import metadata_columns

__all__ = [
    "decode",
    "decode_column",
    "groups_of",
    "labels_of",
    "part_paths",
    "read_batches",
    "read_images",
    "read_manifest",
    "read_metadata",
    "verify",
]

_DECODE_COLUMNS = ["image_id", "image", "height", "width"]
_BATCH = 256  # rows decoded at once, a row group as written


def part_paths(folder: Path | str) -> list[str]:
    """Addresses of the Parquet parts, in order."""
    return [below(folder, part.file) for part in checked_manifest(folder).parts]


def read_metadata(folder: Path | str) -> pd.DataFrame:
    """One row per image, in shard order, with every column but the pixels; a missing label is NaN."""
    columns = metadata_columns(read_manifest(folder).task)
    tables = [pa.Table.from_batches([batch]) for batch in read_batches(folder, columns)]
    return pa.concat_tables(tables).to_pandas()


def read_batches(folder: Path | str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of all rows, 256 rows at a time, of a folder that `checked_manifest` accepts."""
    files, root = located(folder)
    for part in checked_manifest(folder).parts:
        try:
            with files.open_input_file(f"{root}/{part.file}") as stream, pq.ParquetFile(stream) as opened:
                yield from opened.iter_batches(batch_size=_BATCH, columns=list(columns))
        except (pa.ArrowException, OSError) as broken:
            raise damaged(below(folder, part.file), broken) from None


def decode(image: bytes, height: int, width: int, image_px: int, fit: str = "pad") -> np.ndarray:
    """uint8 [image_px, image_px] from the stored bytes: letterboxed on black, or stretched."""
    grey = np.frombuffer(image, dtype=np.uint8).reshape(height, width)
    return fit_square(grey, image_px, fit)


def decode_column(images: pa.BinaryArray, heights: pa.Array, widths: pa.Array, image_px: int, fit: str) -> np.ndarray:
    """uint8 [N, image_px, image_px] from three columns of a shard; images of that size already are not copied."""
    height, width = heights.to_numpy(), widths.to_numpy()
    if len(images) and (height == image_px).all() and (width == image_px).all():
        size = image_px * image_px
        # The values of a binary array lie one after the other, from its first offset on.
        offsets = np.int64 if pa.types.is_large_binary(images.type) else np.int32
        start = int(np.frombuffer(images.buffers()[1], dtype=offsets)[images.offset])
        pixels = np.frombuffer(images.buffers()[2], dtype=np.uint8, count=len(images) * size, offset=start)
        return pixels.reshape(len(images), image_px, image_px)
    decoded = np.zeros((len(images), image_px, image_px), dtype=np.uint8)
    for index, image in enumerate(images):
        decoded[index] = decode(image.as_buffer(), int(height[index]), int(width[index]), image_px, fit)
    return decoded


def groups_of(frame: pd.DataFrame) -> np.ndarray:
    """Patient where known, else the image itself: text [N]."""
    return frame["patient"].where(frame["patient"] != "", frame["image_id"]).to_numpy(dtype=str)


def labels_of(frame: pd.DataFrame, classes: Sequence[str], folder: Path | str) -> np.ndarray:
    """Class indices int64 [N] (NO_LABEL where none is known), or float32 [N, K] where images have several findings.

    InputError names a label that is none of `classes`.
    """
    if "labels" in frame:
        return stacked(frame["labels"])
    return label_indices(frame["label"].tolist(), classes, str(folder))


def read_images(
    folder: Path | str,
    image_px: int,
    image_ids: Sequence[str] | None = None,
    fit: str = "pad",
    normals: str = "keep",
) -> ImageSet:
    """Images decoded to `image_px`, in the order of `image_ids` (all, in shard order, when None).

    `normals` is the rule of `labels.apply_normals`. Images without a label have class index NO_LABEL. Raises InputError when
    the folder is damaged, or an id is unknown or ruled out.
    """
    manifest = read_manifest(folder)
    frame = apply_normals(read_metadata(folder), normals)
    if image_ids is not None:
        frame = _select(frame, image_ids, folder)
    classes = classes_after(manifest.classes, normals)
    ids = frame["image_id"].to_numpy(dtype=str)
    return ImageSet(
        images=_decode_all(folder, ids, image_px, fit),
        labels=labels_of(frame, classes, folder),
        ids=ids,
        groups=groups_of(frame),
        classes=classes,
        domain=manifest.domain,
        synthetic=np.zeros(len(ids), dtype=bool),
    )


def _decode_all(folder: Path | str, ids: np.ndarray, image_px: int, fit: str) -> np.ndarray:
    position = pd.Series(np.arange(len(ids)), index=ids)
    images = np.zeros((len(ids), image_px, image_px), dtype=np.uint8)
    for batch in read_batches(folder, _DECODE_COLUMNS):
        place = position.reindex(batch.column("image_id").to_pandas()).to_numpy()
        kept = batch.filter(pa.array(~np.isnan(place)))
        if len(kept):
            pixels, heights, widths = (kept.column(name) for name in _DECODE_COLUMNS[1:])
            wanted = place[~np.isnan(place)].astype(np.int64)
            images[wanted] = decode_column(pixels, heights, widths, image_px, fit)
    return images


def _select(frame: pd.DataFrame, image_ids: Sequence[str], folder: Path | str) -> pd.DataFrame:
    place = pd.Series(np.arange(len(frame)), index=frame["image_id"])
    wanted = place.reindex(list(image_ids))
    if wanted.isna().any():
        missing = wanted.index[wanted.isna()][0]
        raise InputError(
            folder,
            f"image {missing!r} is not in this data set under the rule for normal scans",
            "use the ids of a split of this folder as it is now, made under the same rule: was it imported anew since?",
        )
    return frame.iloc[wanted.to_numpy(dtype=np.int64)].reset_index(drop=True)
