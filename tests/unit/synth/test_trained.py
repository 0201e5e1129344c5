"""Pools stream into shards, foreign bytes are refused, and length: full follows the publications."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.shards.reader import read_images, read_manifest
from sweep.synth.pool import pool_rows, write_pool
from sweep.synth.train import TrainedGenerator, resolved_settings, train_generator

IMAGES = rng(0, "trained").integers(0, 256, (8, 32, 32), dtype=np.uint8)
CLASSES = ("benign", "malignant")


@pytest.fixture(scope="module")
def generator() -> TrainedGenerator:
    settings = {"steps": 1, "batch_size": 4, "width": 4}
    return train_generator("cgan", IMAGES, np.arange(8) % 2, num_classes=2, settings=settings, seed=0)


def test_a_written_pool_is_a_data_set_that_holds_the_samples(generator: TrainedGenerator, tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", {0: generator, 1: generator}, {0: 40, 1: 3}, CLASSES, seed=5, domain="a")
    manifest, pool = read_manifest(tmp_path / "pool"), read_images(tmp_path / "pool", 32)
    assert (manifest.name, manifest.settings["generator"], manifest.settings["seed"]) == ("synthetic-cgan", "cgan", 5)
    for label, count in ((0, 40), (1, 3)):
        assert np.array_equal(pool.images[pool.labels == label], generator.sample(count, seed=5, label=label))


def test_one_block_is_in_memory_at_a_time(generator: TrainedGenerator) -> None:
    next(pool_rows({0: generator}, {0: 1}, CLASSES, seed=0))
    tracemalloc.start()
    rows = sum(1 for _ in pool_rows({0: generator}, {0: 2000}, CLASSES, seed=0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 2000
    assert peak < 2000 * 32 * 32 / 4


@pytest.mark.parametrize("data", [b"", b"not a generator at all", b"\x10\0\0\0\0\0\0\0" + b"{}" + b" " * 14])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not a saved generator"):
        TrainedGenerator.from_bytes(data)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'\\"width\\": 4', b'\\"width\\": 5', "not a saved generator"),
        (b'\\"width\\": 4', b'\\"width\\":-4', "from 4 to 256"),
        (b'\\"name\\": \\"cgan\\"', b'\\"name\\": \\"cgam\\"', "did you mean"),
    ],
)
def test_a_tampered_file_is_refused(generator: TrainedGenerator, old: bytes, new: bytes, words: str) -> None:
    data = generator.to_bytes()
    assert old in data
    with pytest.raises(InputError, match=words):
        TrainedGenerator.from_bytes(data.replace(old, new))


def test_an_unknown_class_is_refused(generator: TrainedGenerator) -> None:
    for label in (None, 2, -1):
        with pytest.raises(InputError, match="name a class from 0 to 1"):
            generator.sample(1, seed=0, label=label)


def test_full_length_follows_the_publications_and_can_be_changed() -> None:
    full = resolved_settings("wgan", {"length": "full"})
    assert (full["steps"], full["width"], full["critic_steps"], full["loss"]) == (20_000, 32, 5, "wasserstein")
    assert resolved_settings("wgan", {"length": "full", "steps": 7})["steps"] == 7
    assert resolved_settings("wgan", {})["length"] == "quick"


def test_classes_must_be_present() -> None:
    with pytest.raises(InputError, match="no image of class 2"):
        train_generator("cgan", IMAGES, np.arange(8) % 2, num_classes=3, seed=0)
    with pytest.raises(InputError, match="pass the class of each image"):
        train_generator("cgan", IMAGES, num_classes=2, seed=0)
    with pytest.raises(InputError, match="one class at a time"):
        train_generator("wgan", IMAGES, np.arange(8) % 2, num_classes=2, seed=0)
