"""How each kind of stage is computed. Independent of Ray: the engine decides where it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from sweep.core.activity import doing
from sweep.data.datasets import FOLDS, Data
from sweep.data.folds import STREAM, Folds, decoded_bytes, loading_of
from sweep.pipeline.stages import EPOCHS_FILE, GENERATOR, GENERATOR_FILE, POOL, SHARED_MODEL
from sweep.pipeline.synthetic_pools import sample_pool
from sweep.shards.image_set import ImageSet
from sweep.store.artifact_store import ArtifactStore, Compute, Stage
from sweep.store.trial import COLORIZER, MODEL, RESULT, TRAINING_FACTS, Attacks, Trial
from sweep.training.hooks import TrainingHooks
from sweep.training.logbook import Logbook

_ROOM_BYTES = 2e9  # of which decoded images may take half


def train_generator_stage(stage: Stage, store: ArtifactStore) -> dict[str, Any]:
    """Train one generator on the training fold alone; its losses, KID and sample grids go to TensorBoard."""
    from sweep.synth.train import train_generator

    inputs, data = stage.inputs, Data.load(store.run).seen_by(stage.inputs)
    fold = data.read("train", inputs["image_px"])
    label = inputs["label"]
    if label is not None:
        fold = fold.subset(np.flatnonzero(fold.labels == label))
    with _watched(stage, store) as on_step:
        generator = train_generator(
            inputs["generator"],
            fold.images,
            None if label is not None else fold.labels,
            num_classes=1 if label is not None else len(data.classes),
            settings={**inputs["settings"], **stage.non_hashed},
            seed=inputs["seed"],
            device=store.device,
            on_step=on_step,
        )
    store.write(stage, GENERATOR_FILE, generator.to_bytes())
    last = generator.facts["checks"][-1]
    return {
        "generator": inputs["generator"],
        "class": "all" if label is None else data.classes[label],
        "trained_on": len(fold.images),
        "last_check": last,
    }


@contextmanager
def _watched(stage: Stage, store: ArtifactStore) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """Yields a callback that writes a generator's reports to TensorBoard."""
    with store.run.folder(f"tensorboard/{stage.inputs['generator']}-{stage.hash}") as folder, Logbook(folder) as book:

        def on_step(step: int, facts: dict[str, Any]) -> None:
            doing("training", step, int(stage.inputs["settings"].get("steps", 0)))
            book.scalars({name: value for name, value in facts.items() if name != "grid"}, step)
            if "grid" in facts:
                book.image("samples", facts["grid"], step)

        yield on_step


def train_model_stage(stage: Stage, store: ArtifactStore) -> dict[str, Any]:
    """The model of one configuration and seed: taken from its finished trial, or trained now."""
    from sweep.pipeline.train_and_evaluate import trained_anew
    from sweep.pipeline.training_job import TrainingJob

    whole, config, seed = Data.load(store.run), stage.non_hashed["config"], stage.inputs["seed"]
    data = whole.seen_by(config)
    trial = Trial(config, data.hash, (seed,))
    folder = trial.seed_folder(seed)
    epochs: list[dict[str, Any]] = []
    if store.run.exists(f"{folder}/{RESULT}"):
        result = json.loads(store.run.read(f"{folder}/{RESULT}"))
        files = {
            name: store.run.read(f"{folder}/{name}")
            for name in (MODEL, COLORIZER)
            if store.run.exists(f"{folder}/{name}")
        }
        facts = {name: result[name] for name in TRAINING_FACTS if name in result}
    else:
        hooks = TrainingHooks(on_epoch=epochs.append)
        folds = _folds(whole, config)
        job = TrainingJob(trial, seed, data, folds, Attacks(), store.run, device=store.device, hooks=hooks)
        files, facts = trained_anew(job)
    for name, content in files.items():
        store.write(stage, name, content)
    store.write(stage, EPOCHS_FILE, json.dumps(epochs).encode())
    return facts


def _folds(whole: Data, config: Mapping[str, Any]) -> Mapping[str, ImageSet]:
    """The folds in memory, or left in their shards where they are large or the sweep config says so."""
    if loading_of(whole.loading, decoded_bytes(whole), _ROOM_BYTES) == STREAM:
        return Folds(whole, STREAM).seen_by(config)
    return {fold: whole.seen_by(config).read(fold) for fold in FOLDS}


STAGES: dict[str, Compute] = {GENERATOR: train_generator_stage, POOL: sample_pool, SHARED_MODEL: train_model_stage}
