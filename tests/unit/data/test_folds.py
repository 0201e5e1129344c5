"""How a run reads: chosen by size unless said, and what a worker is handed is the same either way."""

import numpy as np
import pytest

from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import DIRECTIONS, FOLDS, prepare
from sweep.data.folds import RESIDENT, STREAM, Folds, decoded_bytes, loading_of
from sweep.execution.ray import shared_images
from sweep.shards.stored import StoredImages


@pytest.mark.parametrize(("wanted", "size", "expected"), [
    ("auto", 400, RESIDENT), ("auto", 600, STREAM), ("resident", 10**12, RESIDENT), ("stream", 1, STREAM),
])  # fmt: skip
def test_auto_goes_by_the_smallest_store(wanted, size, expected):
    assert loading_of(wanted, size, store=1000) == expected


@pytest.mark.parametrize("directions", [DIRECTIONS[:1], DIRECTIONS])
def test_resident_and_streamed_images_are_the_same(tmp_path, monkeypatch, directions):
    section = DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=40, train_images=20)
    data = prepare(section, Storage(tmp_path), directions)
    monkeypatch.setattr(
        shared_images, "decoded", lambda folder, px, ids, fit: np.asarray(StoredImages(folder, px, ids, fit))
    )
    held = {name: shared_images.decode_domain(data, name) for name in ("source", "target")}
    resident, streamed = Folds(data, RESIDENT, held), Folds(data, STREAM)
    assert decoded_bytes(data) == sum(array.nbytes for array in held.values())
    for direction in directions:
        for fold in FOLDS:
            one, other = resident.of(direction)[fold], streamed.of(direction)[fold]
            assert one.ids.tolist() == other.ids.tolist() and np.array_equal(one.images, np.asarray(other.images))
            assert any(np.shares_memory(one.images, array) for array in held.values())  # a view, no copy
            assert np.array_equal(one.images, data.directed(direction).read(fold).images)
