"""Decoded images in Ray's object store, one copy per node shared by its workers, or streamed from their shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray

from sweep.data.datasets import Data
from sweep.data.folds import DOMAINS, RESIDENT, STREAM, Folds, decoded_bytes, image_ids_of, loading_of
from sweep.execution.ray.nodes import alive
from sweep.execution.ray.session import quiet_ray_data
from sweep.shards.reader import read_images
from sweep.shards.stream import TASK_CPUS, decoded

_FEW_BYTES = 64e6  # decoded in about a second


@dataclass(frozen=True)
class SharedImages:
    """How the workers of a run get their images; `held` has a reference to each domain's decoded array when resident."""

    loading: str
    held: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[Any, ...] = ()  # beside each array a number that says whether it came about


def folds_of(data: Data, images: SharedImages) -> Folds:
    """The folds of the run for one worker."""
    return Folds(data, images.loading, {name: ray.get(reference) for name, reference in images.held.items()})


def share_images(data: Data) -> SharedImages:
    """Begin to decode both domains into the object store, unless they are to be streamed; few images are decoded here and now.

    Ray Data decodes many images on many machines, but takes seconds of several processes to be loaded.
    """
    size = decoded_bytes(data)
    if loading_of(data.loading, size, _smallest_store()) == STREAM:
        return SharedImages(STREAM)
    if size <= _FEW_BYTES:
        return SharedImages(RESIDENT, {name: ray.put(_read_domain(data, name)) for name in DOMAINS})
    begun = {name: _decode.options(num_returns=2).remote(data, name) for name in DOMAINS}
    images, counts = ({name: references[which] for name, references in begun.items()} for which in (0, 1))
    return SharedImages(RESIDENT, images, tuple(counts.values()))


def _read_domain(data: Data, domain: str) -> np.ndarray:
    folder, ids = image_ids_of(data, domain)
    return read_images(folder, data.image_px, ids, data.fit).images


def wait_for(images: SharedImages) -> None:
    """Return once every domain is decoded; raises the exception of a failed decoding."""
    try:
        ray.get(list(images.counts))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


def decode_domain(data: Data, domain: str) -> np.ndarray:
    """uint8 [N, px, px] of a domain's images, in the order of the split."""
    folder, ids = image_ids_of(data, domain)
    return decoded(folder, data.image_px, ids, data.fit)


@ray.remote(num_cpus=TASK_CPUS)
def _decode(data: Data, domain: str) -> tuple[np.ndarray, int]:
    """A domain's images, of which one copy serves all processes of a node, and their number."""
    quiet_ray_data()
    images = decode_domain(data, domain)
    return images, len(images)


def _smallest_store() -> float:
    """Bytes of the smallest object store among the nodes that are there."""
    return min(node["Resources"].get("object_store_memory", 0.0) for node in alive())
