"""The stages that trials share: generators and the pools of images sampled from them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.artifacts import ArtifactStore, Stage
from sweep.prepare import Data
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import synthetic_counts

if TYPE_CHECKING:
    from sweep.synth.trained import TrainedGenerator

GENERATOR_FILE = "generator.safetensors"
POOL_FILE = "images.npy"
_MOST_DRAWS = 8  # times the images wanted, when copies are dropped
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
    if not generators:
        return {}
    counts = synthetic_counts(data.fold("train")["label"].to_numpy(), config["synthetic_per_real"], config["mixing_policy"])
    return {label: _pool_stage(config, data, label, count, generators.get(label, generators.get(None))) for label, count in counts.items()}


def _pool_stage(config: Mapping[str, Any], data: Data, label: int, count: int, generator: Stage) -> Stage:
    inputs = {"label": label, "images": _round_up(count), "drop_copies": config["drop_copies"], "class": data.classes[label]}
    return Stage("pool", 1, inputs, needs=(generator,))


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
    """Sample one class's pool from its generator and judge it; image i is the same in every pool of that generator.

    Raises Collapsed when copies are to be dropped and hardly anything else comes.
    """
    from sweep.synth.copies import copy_check
    from sweep.synth.quality import quality
    from sweep.synth.trained import TrainedGenerator

    (needed,) = stage.needs
    generator = TrainedGenerator.from_bytes(store.read(needed, GENERATOR_FILE))
    fold = Data.load(store.run).read("train", generator.image_px)
    own = fold.subset(np.flatnonzero(fold.labels == stage.inputs["label"]))
    images, copies, drawn = _pool(stage, generator, needed, fold)
    buffer = io.BytesIO()
    np.save(buffer, images, allow_pickle=False)
    figures = {name: round(float(value), 5) for name, value in quality(own.images, images, "texture").items()}
    reference = copy_check(images[:1], fold.images, groups=fold.groups).real_rate
    facts = {"images": len(images), "class": stage.inputs["class"], "copy_rate": copies / drawn, "real_copy_rate": reference, "quality": figures}
    return {POOL_FILE: buffer.getvalue()}, facts


def _pool(stage: Stage, generator: TrainedGenerator, trained: Stage, fold: ImageSet) -> tuple[np.ndarray, int, int]:
    """The pool's images, how many of those drawn are copies of training images, and how many were drawn."""
    from sweep.synth.copies import copy_check
    from sweep.synth.watch import Collapsed

    label = None if trained.inputs["label"] is not None else stage.inputs["label"]
    wanted, drop = stage.inputs["images"], stage.inputs["drop_copies"]
    kept, copies, drawn = [], 0, 0
    while sum(map(len, kept)) < wanted:
        if drawn >= _MOST_DRAWS * wanted:
            raise Collapsed(f"{copies} of {drawn} images of class {stage.inputs['class']} copy a training image")
        block = generator.sample(wanted, seed=trained.inputs["seed"], label=label, start=drawn)
        copied = copy_check(block, fold.images, groups=fold.groups).copies
        copies, drawn = copies + int(copied.sum()), drawn + len(block)
        kept.append(block[~copied] if drop else block)
    return np.concatenate(kept)[:wanted], copies, drawn


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
