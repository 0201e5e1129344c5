"""Configuration -> the stages it shares with other trials: generators, pools of synthetic images, shared models."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sweep.config.hyperparameters import complete, rows_filling
from sweep.core.hyperparameter import arguments
from sweep.data.datasets import DIRECTIONS, Data
from sweep.shards.mixing import synthetic_counts
from sweep.store.artifact_store import ArtifactStore, Stage, with_dependencies
from sweep.store.code_versions import VERSIONS
from sweep.store.trial import COLORIZER, MODEL, OTHER_DOMAIN, Trial
from sweep.synth.hyperparameters import GENERATOR as GENERATOR_PART
from sweep.synth.hyperparameters import PER_CLASS
from sweep.synth.settings import LATER, SHIFTED

GENERATOR, POOL, SHARED_MODEL = "generator", "pool", "shared_model"
GENERATOR_FILE = "generator.safetensors"
POOL_FILE = "images.npy"
EPOCHS_FILE = "epochs.json"  # of a shared model: its metrics after each epoch
_POOL_UNIT = 64  # pools come in powers of two times this, so that near ratios share one
_CANDIDATES = 2  # images labelled for each one to keep, before more are sampled
# Checks of a generator in training, where the sweep config does not give their interval.
_FEWEST_CHECKS, _MOST_CHECKS, _STEPS_PER_CHECK = 4, 20, 250
_PROGRESS_CHECKS = ("check_every", "feature_net")


def stages_of(trial: Trial, data: Data) -> list[Stage]:
    """The artifacts that must exist before a trial trains, each once, without their own dependencies."""
    seeds = trial.seeds if _takes_a_model(trial.config) else trial.seeds[:1]  # the others need the same
    stages = [stage for seed in seeds for stage in _stages_of_seed(trial.config, data, seed)]
    return list({stage.hash: stage for stage in stages}.values())


def needed_stages(trials: Iterable[Trial], data: Data) -> list[Stage]:
    """Every stage of several trials with its dependencies, each once, dependencies first."""
    stages = (stage for trial in trials for stage in with_dependencies(stages_of(trial, data)))
    return list({stage.hash: stage for stage in stages}.values())


def shared_models(trials: Iterable[Trial], data: Data) -> frozenset[str]:
    """Hashes of the stages of models that some trials take from others.

    A trial whose own model is among them has it made as a stage too, so that whoever comes first makes it for both.
    """
    takers = [trial for trial in trials if _takes_a_model(trial.config)]
    return frozenset(stage.hash for stage in needed_stages(takers, data) if stage.kind == SHARED_MODEL)


def own_models(trial: Trial, data: Data, wanted: frozenset[str]) -> list[Stage]:
    """The stages of the trial's own models that other trials need."""
    if not wanted:
        return []
    return [stage for seed in trial.seeds if (stage := model_stage(trial.config, data, seed)).hash in wanted]


def generator_stages(config: Mapping[str, Any], data: Data) -> dict[int | None, Stage]:
    """The generators that a configuration needs: one per class, or one (under None) that all classes share."""
    from sweep.synth.generators import GENERATORS

    if not config["synthetic_per_real"]:
        return {}
    data = data.seen_by(config)
    per_class = GENERATORS[config["generator"]].per_class or config.get("generator_networks") == PER_CLASS
    classes = range(len(data.classes)) if per_class else (None,)
    return {label: _generator_stage(config, data, label) for label in classes}


def pool_stages(config: Mapping[str, Any], data: Data, seed: int) -> dict[int, Stage]:
    """One pool of synthetic images per class, big enough for the configuration's ratio.

    With `relabel: pseudo` a pool holds the images that the real-only model of this seed takes for its class.
    """
    generators = generator_stages(config, data)
    if not generators:
        return {}
    data = data.seen_by(config)
    counts = synthetic_counts(
        data.fold("train")["label"].to_numpy(), config["synthetic_per_real"], config["mixing_policy"]
    )
    judge = labeller_stage(config, data, seed) if _relabels(config) else None
    return {
        label: _pool_for(config, data, label, count, generators[label if label in generators else None], judge)
        for label, count in counts.items()
    }


def labeller_stage(config: Mapping[str, Any], data: Data, seed: int) -> Stage:
    """The model of the same configuration and seed trained on real images only, with the appearance that generators learn."""
    seen = {"adapt": "none"} if config.get("adapt") == "histogram_to_target" else {}
    return model_stage(complete({**config, "synthetic_per_real": 0, **seen}), data, seed)


def model_stage(config: Mapping[str, Any], data: Data, seed: int) -> Stage:
    """The model that a configuration trains with one seed, as a stage that other trials can use."""
    trial = Trial(config, data.seen_by(config).hash, (seed,))
    inputs = {"trial": trial.signature, "seed": seed}
    return Stage(
        SHARED_MODEL,
        VERSIONS[SHARED_MODEL],
        inputs,
        tuple(_stages_of_seed(config, data, seed)),
        {"config": dict(config)},
    )


def donor_stage(config: Mapping[str, Any], data: Data, seed: int) -> Stage | None:
    """The model, trained on all of the other domain, whose colorizer this configuration starts from; None where it starts from none."""
    if config.get("colorizer_from") != OTHER_DOMAIN:
        return None
    other = next(name for name in DIRECTIONS if name != config["direction"])
    return model_stage(
        complete({**config, "direction": other, "train_images": None, "colorizer_from": None}), data, seed
    )


def _stages_of_seed(config: Mapping[str, Any], data: Data, seed: int) -> list[Stage]:
    donor = donor_stage(config, data, seed)
    return [*pool_stages(config, data, seed).values(), *([donor] if donor else [])]


def _takes_a_model(config: Mapping[str, Any]) -> bool:
    return _relabels(config) or config.get("colorizer_from") == OTHER_DOMAIN


def _relabels(config: Mapping[str, Any]) -> bool:
    return config.get("relabel") == "pseudo"


def _generator_stage(config: Mapping[str, Any], data: Data, label: int | None) -> Stage:
    from sweep.synth.train import resolved_settings

    settings = resolved_settings(config["generator"], _changes(config))
    settings["check_every"] = config["generator_check_every"] or _steps_between_checks(settings["steps"])
    inputs = {
        "generator": config["generator"],
        "settings": _hashed(settings),
        "image_px": config["generator_px"],
        "seed": config["generator_seed"],
        "label": label,
        "fold": data.fold_hash("train"),
        "fit": data.fit,
        "direction": config["direction"],
        "train_images": config["train_images"],
    }
    return Stage(GENERATOR, VERSIONS[GENERATOR], inputs, non_hashed={name: settings[name] for name in _PROGRESS_CHECKS})


def _hashed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that determine a generator: not how often it is checked, unless it stops by these checks."""
    left_out = () if settings["patience"] else _PROGRESS_CHECKS
    return {
        name: value
        for name, value in settings.items()
        if name not in left_out and not (name in LATER and value == LATER[name])
    }


def _steps_between_checks(steps: int) -> int:
    checks = min(_MOST_CHECKS, max(_FEWEST_CHECKS, steps // _STEPS_PER_CHECK))
    return max(1, steps // checks)


def _changes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The generator settings that the configuration sets."""
    from sweep.synth.generators import GENERATORS

    changes = arguments(rows_filling(GENERATOR_PART), GENERATOR_PART, config)
    own = GENERATORS[config["generator"]].defaults
    if "lr" in changes and "critic_lr" in own:
        changes["critic_lr"] = min(1.0, changes["lr"] * (own["critic_lr"] / own["lr"]))
    return changes


def _pool_for(
    config: Mapping[str, Any], data: Data, label: int, count: int, generator: Stage, judge: Stage | None
) -> Stage:
    size = _round_up(count)
    inputs = {"label": label, "images": size, "drop_copies": config["drop_copies"], "class": data.classes[label]}
    if config["drop_copies"] and (views := config.get("copy_views", SHIFTED)) != SHIFTED:
        inputs["copy_views"] = views  # pools without it were sifted by the narrower comparison, which was the only one
    if judge is None:
        return Stage(POOL, VERSIONS[POOL], inputs, (generator,))
    candidates = Stage(POOL, VERSIONS[POOL], {**inputs, "images": _CANDIDATES * size}, (generator,))
    return Stage(
        POOL,
        VERSIONS[POOL],
        {**inputs, "relabel": "pseudo", "confidence": config["relabel_confidence"]},
        (generator, candidates, judge),
    )


def _round_up(images: int) -> int:
    size = _POOL_UNIT
    while size < images:
        size *= 2
    return size


def read_model(store: ArtifactStore, stage: Stage) -> bytes:
    """A shared model's weights, as safetensors."""
    return store.read(stage, MODEL)


def read_colorizer(store: ArtifactStore, stage: Stage) -> bytes:
    """The colorizer of a shared model, as safetensors."""
    return store.read(stage, COLORIZER)


def read_pool(store: ArtifactStore, stage: Stage, image_px: int, count: int | None = None) -> np.ndarray:
    """A pool's first `count` images, or all, as uint8 [M, image_px, image_px]."""
    return resized(np.array(_pixels(store, stage)[:count]), image_px)


def pool_blocks(store: ArtifactStore, stage: Stage, block: int = 32) -> Iterator[np.ndarray]:
    """A pool's images in blocks, at the generator's size; on a local disk one block is in memory at a time."""
    images = _pixels(store, stage)
    for start in range(0, len(images), block):
        yield np.array(images[start : start + block])


def _pixels(store: ArtifactStore, stage: Stage) -> np.ndarray:
    name = f"{store.folder(stage)}/{POOL_FILE}"
    if store.run.local is not None:
        return np.load(Path(store.run.local / name), mmap_mode="r", allow_pickle=False)
    return np.load(io.BytesIO(store.run.read(name)), allow_pickle=False)


def resized(images: np.ndarray, image_px: int) -> np.ndarray:
    """Square uint8 images [N, H, W] resized bilinearly to `image_px`; unchanged when they have that size."""
    if images.shape[-1] == image_px:
        return images
    larger = [
        np.asarray(Image.fromarray(image).resize((image_px, image_px), Image.Resampling.BILINEAR)) for image in images
    ]
    return np.stack(larger) if larger else np.empty((0, image_px, image_px), np.uint8)
