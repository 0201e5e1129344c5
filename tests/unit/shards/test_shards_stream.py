"""The streamed images are the resident ones, whatever the order in which tasks end."""

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import phantom
from sweep.shards.reader import read_images, read_metadata
from sweep.shards.stream import _decode, collect, open_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("stream") / "a"
    phantom.write(place, patients=12, image_px=64)
    return place


class Shuffled:
    """Stands for a train worker's shard: two batches, the later rows first."""

    def __init__(self, batch):
        self._batch = batch

    def iter_batches(self, **options):
        half = len(self._batch["label"]) // 2
        yield {name: column[half:] for name, column in self._batch.items()}
        yield {name: column[:half] for name, column in self._batch.items()}


def stored(folder):
    """The table as a reading task sees them."""
    import pyarrow.parquet as pq

    return pq.read_table(folder / "part-00000.parquet", columns=["image_id", "image", "height", "width"])


def same(one, other):
    names = ("images", "labels", "ids", "groups")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize(("px", "fit"), [(48, "pad"), (48, "stretch"), (64, "pad")])
def test_decoded_rows_equal_the_resident_ones(folder, px, fit):
    frame = read_metadata(folder)
    wanted = {row.image_id: (0, row.patient) for row in frame[::2].itertuples()}
    rows = _decode(stored(folder), wanted, px, fit)
    collected = collect(Shuffled(rows), ("x",), "here", image_ids=list(wanted))
    resident = read_images(folder, px, list(wanted), fit)
    assert np.array_equal(collected.images, resident.images) and collected.ids.tolist() == list(wanted)
    assert collected.groups.tolist() == resident.groups.tolist()
    assert collect(Shuffled(rows), ("x",), "here").ids.tolist() == sorted(wanted)


def test_several_findings_travel_with_the_rows(folder):
    frame = read_metadata(folder)
    wanted = {row.image_id: ([1.0, 0.0, float("nan")], row.patient) for row in frame.itertuples()}
    labels = _decode(stored(folder), wanted, 16, "pad")["label"]
    assert labels.shape == (len(frame), 3) and labels.dtype == np.float32 and (labels[:, 0] == 1).all() and np.isnan(labels[:, 2]).all()
    assert _decode(stored(folder).slice(0, 0), wanted, 16, "pad")["label"].shape == (0, 3)


def test_a_worker_without_rows_is_told(folder):
    with pytest.raises(InputError, match="no rows"):
        collect(Shuffled(_decode(stored(folder), {}, 16, "pad")), ("x",), "here")


@pytest.mark.e2e
def test_through_ray_data_on_two_cpus(folder):
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        resident = read_images(folder, 64, normals="drop")
        rows = open_dataset(folder, 64, resident.ids, normals="drop")
        assert same(resident, collect(rows, resident.classes, "here", resident.ids))
        with pytest.raises(InputError, match="nobody"):
            open_dataset(folder, 32, ["nobody"])
    finally:
        ray.shutdown()
