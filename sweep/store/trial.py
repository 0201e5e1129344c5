"""Trials: one configuration on one data set, its signature and the folders of its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.config.hyperparameters import identity
from sweep.core.hashing import content_hash
from sweep.store.code_versions import VERSIONS

SIGNATURE_DIGITS = 12
MODEL = "model.safetensors"
COLORIZER = "colorizer.safetensors"
OTHER_DOMAIN = "other_domain"  # colorizer_from: the same configuration, trained at the other hospital
STATE = "state"  # training state of an unfinished seed; removed when the seed is finished
TRAINING_FACTS = (
    "best_epoch",
    "epochs_run",
    "train_images",
    "overfitting",
)  # of a record; the last only where it occurred
RESULT = "result.json"  # written last: a seed without it is not finished


@dataclass(frozen=True)
class Trial:
    """One configuration on the data of one hash; its seeds run one after another in the same worker group."""

    config: Mapping[str, Any]
    data_hash: str
    seeds: tuple[int, ...]
    cell: Mapping[str, Any] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """Hash of the configuration's identity, of the data and of the training code's version.

        Not part of it: threats, seeds, the places of files (their content hashes are), and settings that are newer than version 0.1
        and have the value they were introduced with.
        """
        named = {name: value for name, value in identity(self.config).items() if not self.config.get(f"{name}_sha256")}
        return content_hash(
            {"config": named, "data": self.data_hash, "version": VERSIONS["training"]}, SIGNATURE_DIGITS
        )

    @property
    def folder(self) -> str:
        """Folder of the trial's files, relative to the run."""
        return f"trials/{self.signature}"

    def seed_folder(self, seed: int) -> str:
        """Folder of one seed's files, relative to the run."""
        return f"{self.folder}/seed-{seed}"


@dataclass(frozen=True)
class Attacks:
    """The threats and epsilons that every trained model is evaluated on, and the images of each split."""

    threats: tuple[str, ...] = ()
    eps: tuple[str, ...] = ()
    images: int | str = "all"
    splits: tuple[str, ...] = ("source", "target")
    masking_images: int = 0
    mode: str = "exact"  # or "fast": bfloat16 search, every claimed break verified in float32
    acquisition: tuple[str, ...] = ()  # acquisition changes that every trained model is evaluated under
    severities: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rungs:
    """Epochs after which a trial is compared, and the objectives measured then; robust accuracy on at most `images` images."""

    epochs: tuple[int, ...] = ()
    metrics: tuple[str, ...] = ()
    images: int = 64
