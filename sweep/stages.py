"""The stages that trials share: generators and the pools of images sampled from them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sweep.artifacts import ArtifactStore, Stage
from sweep.prepare import Data

GENERATOR_FILE = "generator.safetensors"
POOL_FILE = "images.npy"
_POOL_UNIT = 64  # pools come in powers of two times this, so that near ratios share one


def generator_stages(config: Mapping[str, Any], data: Data) -> dict[int | None, Stage]:
    """The generators that a configuration needs: one per class, or one (under None) for a conditional generator."""
    from sweep.synth.generators import GENERATORS

    if not config["synthetic_per_real"]:
        return {}
    classes = range(len(data.classes)) if GENERATORS[config["generator"]].per_class else (None,)
    return {label: _generator_stage(config, data, label) for label in classes}


def _generator_stage(config: Mapping[str, Any], data: Data, label: int | None) -> Stage:
    from sweep.synth.train import resolved_settings

    wishes = {name: config[f"generator_{name}"] for name in ("length", "steps", "width")}
    settings = resolved_settings(config["generator"], {name: wish for name, wish in wishes.items() if wish is not None})
    inputs = {
        "generator": config["generator"],
        "settings": settings,
        "image_px": config["generator_px"],
        "seed": config["generator_seed"],
        "label": label,
        "fold": data.fold_hash("train"),
        "fit": data.fit,
    }
    return Stage("generator", 1, inputs)


def pool_stages(config: Mapping[str, Any], data: Data) -> dict[int, Stage]:
    """One pool of synthetic images per class, big enough for the configuration's ratio."""
    generators = generator_stages(config, data)
    counts = data.class_counts("train")
    stages = {}
    for label in range(len(data.classes)) if generators else ():
        generator = generators.get(label, generators.get(None))
        wanted = _round_up(round(config["synthetic_per_real"] * counts[label]))
        stages[label] = Stage("pool", 1, {"label": label, "images": wanted}, needs=(generator,))
    return stages


def _round_up(images: int) -> int:
    size = _POOL_UNIT
    while size < images:
        size *= 2
    return size


def train_generator_stage(stage: Stage, store: ArtifactStore) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train one generator on the training fold alone."""
    from sweep.synth.train import train_generator

    inputs, data = stage.inputs, Data.load(store.run)
    fold = data.read("train", inputs["image_px"])
    label = inputs["label"]
    if label is not None:
        fold = fold.subset(np.flatnonzero(fold.labels == label))
    generator = train_generator(
        inputs["generator"],
        fold.images,
        None if label is not None else fold.labels,
        num_classes=1 if label is not None else len(data.classes),
        settings=dict(inputs["settings"]),
        seed=inputs["seed"],
    )
    return {GENERATOR_FILE: generator.to_bytes()}, {"trained_on": len(fold.images)}


def sample_pool_stage(stage: Stage, store: ArtifactStore) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Sample one class's pool from its generator; image i is the same in every pool of that generator."""
    from sweep.synth.trained import TrainedGenerator

    (needed,) = stage.needs
    generator = TrainedGenerator.from_bytes(store.read(needed, GENERATOR_FILE))
    label = None if needed.inputs["label"] is not None else stage.inputs["label"]
    wanted, seed = stage.inputs["images"], needed.inputs["seed"]
    buffer = io.BytesIO()
    np.save(buffer, generator.sample(wanted, seed=seed, label=label), allow_pickle=False)
    return {POOL_FILE: buffer.getvalue()}, {"images": wanted}


STAGES: dict[str, Callable[[Stage, ArtifactStore], tuple[dict[str, bytes], dict[str, Any]]]] = {
    "generator": train_generator_stage,
    "pool": sample_pool_stage,
}


def read_pool(store: ArtifactStore, stage: Stage, image_px: int) -> np.ndarray:
    """A pool's images as uint8 [M, image_px, image_px]."""
    from PIL import Image

    images = np.load(io.BytesIO(store.read(stage, POOL_FILE)), allow_pickle=False)
    if images.shape[-1] == image_px:
        return images
    return np.stack([np.asarray(Image.fromarray(image).resize((image_px, image_px), Image.Resampling.BILINEAR)) for image in images])
