"""The streamed images are the resident ones, in the same batches, whatever the order in which tasks end."""

import logging
import pickle
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sweep.core import ray_internals
from sweep.core.errors import InputError
from sweep.importers import phantom
from sweep.shards import batches
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import LazyImages, changed, joined, taken
from sweep.shards.reader import read_images, read_metadata
from sweep.shards.stored import StoredImages
from sweep.shards.stream import _in_batches, decoded, open_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("stream") / "a"
    phantom.write(place, patients=30, image_px=64)
    return place


@pytest.fixture(scope="module")
def ids(folder):
    """Every second image, the last ones first."""
    return read_metadata(folder)["image_id"].tolist()[::-2]


@pytest.mark.parametrize(("px", "fit"), [(48, "pad"), (48, "stretch"), (64, "pad")])
def test_images_in_their_shards_equal_the_resident_ones(folder, ids, px, fit):
    lazy, resident = StoredImages(folder, px, ids, fit), read_images(folder, px, ids, fit).images
    assert lazy.shape == resident.shape and lazy.nbytes == resident.nbytes
    assert np.array_equal(pickle.loads(pickle.dumps(lazy)), resident)


@pytest.mark.parametrize("index", [3, -1, slice(2, 9), slice(None, None, 5), np.array([7, 1, 1]), "mask"])
def test_indexing_is_that_of_an_array(folder, ids, index):
    lazy, resident = StoredImages(folder, 32, ids), read_images(folder, 32, ids).images
    index = np.arange(len(ids)) % 3 == 0 if isinstance(index, str) else index
    assert np.array_equal(lazy[index], resident[index]) and lazy[index].shape == resident[index].shape


def test_choosing_joining_and_changing_read_nothing_and_agree(folder, ids):
    lazy, resident = StoredImages(folder, 32, ids), read_images(folder, 32, ids).images
    synthetic = np.full((5, 32, 32), 7, np.uint8)
    for images in (lazy, resident):
        some = taken(images, np.array([4, 0, 2]))
        both = changed(joined([some, synthetic]), lambda block: 255 - block)
        assert isinstance(both, LazyImages) == (images is lazy)
        assert np.array_equal(np.asarray(both), 255 - np.concatenate([resident[[4, 0, 2]], synthetic]))


def test_an_unknown_image_is_named(folder):
    with pytest.raises(InputError, match="nobody"):
        StoredImages(folder, 32, ["nobody"])


def numbers(count):
    """An image set of `count` images that are never read."""
    labels, names = np.arange(count) % 3 == 0, np.arange(count).astype(str)
    return ImageSet(
        np.zeros((count, 1, 1), np.uint8),
        labels.astype(np.int64),
        names,
        names,
        ("a", "b"),
        "here",
        np.zeros(count, bool),
    )


@pytest.mark.parametrize("balanced", [False, True])
def test_a_large_set_is_visited_window_by_window(balanced):
    large = batches.ResidentBatches(numbers(50_000), 100, seed=3, balanced=balanced)
    order = large.order(0)
    assert len(order) == 50_000 and not np.array_equal(order, large.order(1))
    if not balanced:
        assert np.array_equal(np.sort(order), np.arange(50_000))
        for start in range(0, 49_152, batches.WINDOW):
            runs = np.unique(order[start : start + batches.WINDOW] // 256)
            assert len(runs) <= 17  # read from few row groups
            assert np.std(runs) > 25  # that lie anywhere in the set


@pytest.mark.parametrize("sizes", [(10, 20), (4, 3, 3, 15, 5), (7, 23), (30,), (1,) * 30])
def test_blocks_of_any_length_are_cut_into_batches(sizes):
    batched = list(_in_batches(torch.arange(30).split(sizes), 10))
    assert torch.equal(torch.stack(batched), torch.arange(30).view(3, 10))


@pytest.fixture(scope="module")
def two_cpus():
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    import ray.data  # sets its loggers up when imported

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield
    ray.shutdown()


@pytest.mark.e2e
@pytest.mark.extended
def test_decoded_in_the_order_that_was_asked_for(folder, ids, two_cpus):
    assert np.array_equal(decoded(folder, 48, ids), read_images(folder, 48, ids).images)
    with pytest.raises(InputError, match="nobody"):
        open_dataset(folder, 32, ["nobody"])


@pytest.mark.e2e
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"balanced": True, "steps_per_epoch": 9}, marks=pytest.mark.slow),
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"share": (1, 2)}, marks=pytest.mark.slow),
    ],
)
def test_same_seed_same_batches_streamed_or_resident(folder, two_cpus, monkeypatch, settings):
    for name, size in (("_SHUFFLED_WHOLE", 16), ("_RUN", 4), ("WINDOW", 24)):
        monkeypatch.setattr(batches, name, size)
    resident = read_images(folder, 32, normals="drop")
    lazy = StoredImages(folder, 32, resident.ids)
    pool = np.arange(8, dtype=np.uint8).repeat(32 * 32).reshape(8, 32, 32)
    sets = [
        ImageSet(joined([images, pool]), np.concatenate([resident.labels, [0, 1] * 4]), *[np.concatenate([resident.ids, [f"s{k}" for k in range(8)]])] * 2,
                 resident.classes, "here", np.zeros(len(resident) + 8, bool))
        for images in (resident.images, lazy)
    ]  # fmt: skip
    pauses = []
    monkeypatch.setattr(ray_internals, "time", SimpleNamespace(sleep=pauses.append))
    held, streamed = (batches.batches_of(one, 10, seed=5, **settings) for one in sets)
    assert isinstance(streamed, batches.StreamedBatches) and isinstance(held, batches.ResidentBatches)
    starts = []
    monkeypatch.setattr(streamed, "_start", lambda epoch, start=streamed._start: starts.append(epoch) or start(epoch))
    for epoch in (2, 3, 4):
        for (images, labels), (same_images, same_labels) in zip(held(epoch), streamed(epoch), strict=True):
            assert torch.equal(images, same_images) and torch.equal(labels, same_labels)
    assert starts == [2]  # one stream for all three
    left_early = streamed(5)
    next(left_early)
    left_early.close()
    assert torch.equal(next(streamed(5))[0], next(held(5))[0])
    assert torch.equal(next(islice(streamed(6), 1, None))[0], next(islice(held(6), 1, None))[0])
    assert starts == [2, 5, 6]
    streamed.close()
    assert pauses.count(ray_internals.THROTTLE_PAUSE_S) > 10  # Ray Data still asks between two steps of its scheduler
