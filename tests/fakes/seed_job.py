"""A seed of a trial on images made here: everything that `run_seed` is given, without shards, splits or Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep.config.hyperparameters import complete
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS
from sweep.pipeline.training_job import TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.store.trial import Attacks, Trial
from tests.fakes.toy_classifier import toy_images

BASE = {"backbone": "small_cnn", "epochs": 1, "batch_size": 8, "lr": 1e-3, "augment": "none", "precision": "fp32"}


@dataclass(frozen=True)
class FakeData:
    """What a configuration is told of its data."""

    classes: tuple[str, ...] = ("benign", "malignant")
    image_px: int = 32
    hash: str = "fake"
    multi_label: bool = False
    datasets: tuple[str, str] = ("busi", "brest")
    pseudo_hospitals: int = 0
    try_adaptations: tuple[str, ...] = ()

    def seen_by(self, config: Any) -> FakeData:
        return self


def fold(name: str, labels: np.ndarray, px: int = 32, seed: int = 0, darker: int = 0) -> ImageSet:
    """Toy images with the labels given."""
    images = toy_images(len(labels), px, seed=seed)[0]
    images = np.where(images > darker, images - darker, 1).astype(np.uint8)
    ids = np.array([f"{name}-{number}" for number in range(len(labels))], object)
    return ImageSet(images, labels, ids, ids, FakeData.classes, "a", np.zeros(len(labels), bool))


def seed_job(folder: Path, *, labels: np.ndarray | None = None, seed: int = 0, **config: Any) -> TrainingJob:
    """A job whose training fold has `labels` (16 of each class when left out); the target is darker than the source."""
    balanced = np.arange(32) % 2
    labels = {name: balanced[:16] for name in FOLDS} | {"train": balanced if labels is None else labels}
    folds = {
        name: fold(name, labels[name], seed=number, darker=40 * (name == "target")) for number, name in enumerate(FOLDS)
    }
    trial = Trial(complete({**BASE, **config}), FakeData.hash, (seed,))
    return TrainingJob(trial, seed, FakeData(), folds, Attacks(), Storage(folder))
