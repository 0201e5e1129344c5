"""Resident batches: deterministic, full, balanced on request."""

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.shards.batches import ResidentBatches
from sweep.shards.image_set import ImageSet


def image_set(count=20, positives=5):
    labels = (np.arange(count) < positives).astype(np.int64)
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 4, 4))
    ids = np.array([f"i{k}" for k in range(count)], dtype=str)
    return ImageSet(images, labels, ids, ids, ("benign", "malignant"), "here", np.zeros(count, bool))


def seen(batches, epoch):
    pairs = list(batches(epoch))
    images = np.concatenate([images[:, 0, 0].numpy() for images, _ in pairs])
    return images, np.concatenate([labels.numpy() for _, labels in pairs]), [len(labels) for _, labels in pairs]


def test_one_pass_without_repetition():
    batches = ResidentBatches(image_set(), 6, seed=0)
    images, labels, sizes = seen(batches, 0)
    assert batches.steps_per_epoch == 3 and sizes == [6, 6, 6]
    assert len(set(images)) == 18 and (labels == (images < 5)).all()


def test_same_seed_and_epoch_same_batches():
    first, second = (ResidentBatches(image_set(), 6, seed=1) for _ in range(2))
    assert np.array_equal(seen(first, 3)[0], seen(second, 3)[0])
    assert not np.array_equal(seen(first, 3)[0], seen(first, 4)[0])
    assert not np.array_equal(seen(first, 3)[0], seen(ResidentBatches(image_set(), 6, seed=2), 3)[0])


def test_goes_round_again_when_more_steps_are_asked():
    images, _, sizes = seen(ResidentBatches(image_set(), 6, seed=0, steps_per_epoch=10), 0)
    assert sizes == [6] * 10
    counts = np.bincount(images, minlength=20)
    assert counts.min() >= 3 and counts.sum() == 60 and len(set(images[:20])) == 20


def test_a_batch_larger_than_the_data_is_filled():
    assert seen(ResidentBatches(image_set(4, 2), 6, seed=0), 0)[2] == [6]


def test_balanced_batches():
    batches = ResidentBatches(image_set(), 6, seed=0, balanced=True)
    for _, labels in batches(0):
        assert labels.sum() == 3


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 4, "steps_per_epoch": 0}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(InputError):
        ResidentBatches(image_set(), seed=0, **wrong)


def test_no_image_is_refused():
    with pytest.raises(InputError, match="empty"):
        ResidentBatches(image_set().subset([]), 4, seed=0)
