"""One seed of one trial as the steps of the pipeline see it, and the model that its configuration describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load

from sweep.core.errors import Diverged, InputError
from sweep.core.seeds import named_seed
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.models.classifier import Classifier, ClassifierSpec, build_classifier
from sweep.pipeline.model_options import network_of
from sweep.pipeline.pretrained_colorizer import read_colorizer_file
from sweep.shards.findings import resolve_uncertain
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import Images
from sweep.store.artifact_store import ArtifactStore
from sweep.store.trial import OTHER_DOMAIN, Attacks, Rungs, Trial
from sweep.training.fit import FitResult
from sweep.training.hooks import TrainingHooks
from sweep.training.logbook import Logbook
from sweep.training.parts import has_learned_colorizer
from sweep.training.transfer import load_colorizer


def _unchanged(images: Images) -> Images:
    return images


@dataclass(frozen=True)
class StackedSeed:
    """One seed that was trained in a stack with others of its configuration."""

    model: Classifier
    outcome: FitResult | Diverged
    synthetic: int  # synthetic images of its training set
    reported: bool  # its epochs were reported while it trained


@dataclass(frozen=True)
class TrainingJob:
    """One seed of one trial: its inputs, where it writes, and what it calls while it trains.

    Nothing in it changes; the steps of the pipeline hand on copies with other folds (`dataclasses.replace`).
    """

    trial: Trial
    seed: int
    data: Data
    folds: Mapping[str, ImageSet]
    attacks: Attacks
    run: Storage
    rungs: Rungs = Rungs()
    device: str = "cpu"
    leader: bool = True  # of several workers that train together, the one that evaluates and writes
    artifacts: Storage | None = None  # the run whose artifacts are used, when it is not `run`
    state: bytes | None = None  # an unfinished training to continue
    hooks: TrainingHooks = field(default_factory=TrainingHooks)
    logbook: Logbook = field(default_factory=lambda: Logbook(None))
    image_transform: Callable[[Images], Images] = _unchanged  # applied to source images before the model sees them
    trained: StackedSeed | None = None  # nothing is left to train
    capture: bool = True  # replay training steps as CUDA graphs on a GPU

    @property
    def folder(self) -> str:
        """Where this seed's files go."""
        return self.trial.seed_folder(self.seed)

    @property
    def store(self) -> ArtifactStore:
        """The artifacts that trials share."""
        return ArtifactStore(self.artifacts or self.run)

    def write_frame(self, name: str, frame: pd.DataFrame) -> None:
        """One Parquet file of this seed."""
        self.run.write(f"{self.folder}/{name}", frame.to_parquet(index=False))


def decided(folds: Mapping[str, ImageSet], policy: str | None) -> dict[str, ImageSet]:
    """Folds with uncertain labels resolved: in training by `policy` (mix when None), elsewhere they are left out.

    So every configuration is evaluated on the same labels, whatever it was trained on.
    """

    def labels(name: str, fold: ImageSet) -> np.ndarray:
        return resolve_uncertain(fold.labels, (policy or "mix") if name == "train" else "ignore", fold.classes)

    return {
        name: replace(fold, labels=labels(name, fold)) if fold.multi_label else fold for name, fold in folds.items()
    }


def tensors(fold: ImageSet, chosen: np.ndarray, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images float [N, 1, H, W] in [0, 1] and labels (int64 [N], or float32 [N, K]) of the images at `chosen`."""
    images = torch.from_numpy(fold.images[chosen]).unsqueeze(1).float().div(255)
    return images.to(device), torch.from_numpy(fold.labels[chosen]).to(device)


def build(config: Mapping[str, Any], data: Data, seed: int, colorizer: bytes | None = None) -> Classifier:
    """The untrained model of a configuration, its colour module from another trial where the configuration says so.

    `colorizer` is that module where it is no file: the other hospital's. Raises InputError for a backbone, size or file that
    cannot be used.
    """
    spec = ClassifierSpec(**network_of(config), num_classes=len(data.classes), image_px=data.image_px)
    model = build_classifier(spec, config["weights"], seed=named_seed(seed, "weights"))
    if config.get("colorizer_from") == OTHER_DOMAIN:
        _start_from(model, colorizer)
    elif config.get("colorizer_from"):
        load_colorizer(
            model, read_colorizer_file(config["colorizer_from"]), f"colorizer_from: {config['colorizer_from']}"
        )
    return model


def rebuilt(config: Mapping[str, Any], data: Data, seed: int, weights: bytes) -> Classifier:
    """The model of a configuration with weights (safetensors) that it was trained to; nothing is read from where it once started.

    Raises RuntimeError when the weights are of another network.
    """
    model = build({**config, "weights": None, "colorizer_from": None}, data, seed)
    model.load_state_dict(load(weights))
    return model


def _start_from(model: Classifier, colorizer: bytes | None) -> None:
    """Give the model the other hospital's colour module, or only see that it could be given one."""
    where = f"colorizer_from: {OTHER_DOMAIN}"
    if not has_learned_colorizer(model):
        raise InputError(
            where, "the colorizer has no weights to hand on", "choose a learned colorizer, or leave colorizer_from out"
        )
    if colorizer is not None:
        load_colorizer(model, colorizer, where)
