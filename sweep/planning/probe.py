"""Seconds of a record and of a generator, foreseen from a few steps of each on this machine: what --plan --measure and init rest on.

A probe is a record of the same configuration, cut short: a few batches of training images, a few epochs, few images predicted and attacked. The
median of all epochs but the first, which warms up, gives the seconds of a step, evaluation and attack the seconds of an image; the record's own
numbers of steps and images multiply them. The first probe of a process is run twice and its first run does not count: it imports modules and
fills caches, which a sweep pays once and not once a record. Early stopping (patience), which shortens records, cannot be foreseen, so the estimate leans to the long side.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, Data
from sweep.data.domains import FOLD_OF_SPLIT
from sweep.pipeline.stages import GENERATOR, needed_stages
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import steps_per_epoch, synthetic_counts
from sweep.shards.schema import NO_LABEL
from sweep.store.artifact_store import Stage
from sweep.store.trial import Attacks, Trial
from sweep.training.hooks import TrainingHooks

STEPS = 4  # optimiser steps of a probe's epoch
EPOCHS = 4  # of a probe; the first one is not timed
IMAGES = 24  # images of each other fold
_SEED = 1  # not 0, which also draws a gallery
_GENERATOR_STEPS = 20  # a generator reports every ten
# Hyperparameters that change how long a step or an attack takes; configurations that agree in them share a probe.
_COSTLY = (
    "backbone", "colorizer", "procedure", "batch_size", "precision", "compile", "optimizer", "augment", "mixup", "train_attack",
    "train_attack_steps", "dual_bn", "adapt",
)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """Seconds of one optimiser step, of predicting one image, of attacking one image, and of what every record costs besides."""

    step: float
    image: float
    attack: float
    rest: float


@dataclass(frozen=True)
class GeneratorRate:
    """Seconds of the first _GENERATOR_STEPS steps with everything around them, of a later step, and of one check of the samples."""

    start: float
    step: float
    check: float

    def seconds(self, settings: Mapping[str, Any]) -> float:
        """Of a whole training with these settings."""
        steps, every = int(settings["steps"]), int(settings["check_every"])
        later = max(0, steps - _GENERATOR_STEPS)
        return self.start + later * self.step + (later // every * self.check if every else 0.0)


def record_seconds(trials: Iterable[Trial], data: Data, attacks: Attacks, device: str = "cpu") -> list[float]:
    """Foreseen seconds of one record of each trial; each kind of configuration is timed once. `data` must be prepared."""
    folds = {fold: _few(data.read(fold), IMAGES) for fold in FOLDS if fold != "train"}
    if (folds["target"].labels == NO_LABEL).any():  # images without labels take as long as others
        folds["target"] = folds["test"]
    cut = {**folds, "train": data.read("train")}
    known, found = dict[tuple[Any, ...], Rates](), []
    for trial in trials:
        kind = _kind(trial.config)
        if not known:
            _timed(trial, data, cut, attacks, device)
        if kind not in known:
            known[kind] = _timed(trial, data, cut, attacks, device)
        found.append(_seconds(known[kind], trial.config, data.seen_by(trial.config), attacks))
    return found


def generator_seconds(trials: Iterable[Trial], data: Data) -> dict[str, float]:
    """Foreseen seconds of each generator that the trials need, by the stage's hash."""
    from sweep.synth.train import resolved_settings

    stages = [stage for stage in needed_stages(trials, data) if stage.kind == GENERATOR]
    rates: dict[tuple[Any, ...], GeneratorRate] = {}
    found = {}
    for stage in stages:
        settings = resolved_settings(stage.inputs["generator"], {**stage.inputs["settings"], **stage.non_hashed})
        kind = (stage.inputs["generator"], stage.inputs["image_px"], str(sorted(settings.items())))
        if kind not in rates:
            rates[kind] = _generator_rate(stage, settings, data.seen_by(stage.inputs))
        found[stage.hash] = rates[kind].seconds(settings)
    return found


def _kind(config: Mapping[str, Any]) -> tuple[Any, ...]:
    costly = tuple(config.get(name) for name in _COSTLY)
    return (*costly, bool(config.get("glcm_weight")), bool(config.get("train_eps")))


def _timed(trial: Trial, data: Data, folds: Mapping[str, ImageSet], attacks: Attacks, device: str) -> Rates:
    """Rates of one kind of configuration, from a probe in a folder that is removed again."""
    changes = {"epochs": EPOCHS, "synthetic_per_real": 0, "colorizer_from": None, "weights": None, "patience": EPOCHS}
    config = {**trial.config, **{name: value for name, value in changes.items() if name in trial.config}}
    batch = int(config["batch_size"])
    cut = {**folds, "train": _few(folds["train"], STEPS * batch)}
    ends: list[float] = []
    hooks = TrainingHooks(on_epoch=lambda metrics: ends.append(time.perf_counter()))
    few = replace(attacks, images=IMAGES if attacks.images == "all" else min(IMAGES, int(attacks.images)))
    with tempfile.TemporaryDirectory() as folder:
        probe = Trial(config, "probe", (_SEED,))
        job = TrainingJob(probe, _SEED, data, cut, few, Storage(folder), device=device, hooks=hooks)
        begin = time.perf_counter()
        seconds = run_seed(job)["seconds"]
    predicted = sum(len(cut[fold]) for fold in FOLD_OF_SPLIT.values())
    image = seconds["evaluate"] / predicted
    steps = steps_per_epoch(len(cut["train"]), len(cut["train"]), batch)
    epoch = statistics.median(later - earlier for earlier, later in pairwise(ends))
    step = max(epoch - image * len(cut["val"]), 0.2 * epoch) / steps
    hit = sum(min(len(cut[FOLD_OF_SPLIT[split]]), int(few.images)) for split in attacks.splits)
    rest = max(0.0, ends[0] - begin - epoch)
    return Rates(step, image, seconds["attack"] / max(1, hit) if attacks.threats else 0.0, rest)


def _seconds(rates: Rates, config: Mapping[str, Any], data: Data, attacks: Attacks) -> float:
    """Seconds of a whole record from the rates of its kind."""
    labels, sizes = data.labels("train"), {fold: len(data.fold(fold)) for fold in FOLDS}
    ratio = config.get("synthetic_per_real") or 0
    more = sum(synthetic_counts(labels, ratio, config.get("mixing_policy", "add")).values()) if ratio else 0
    mixed = sizes["train"] + (more if config.get("mixing_policy", "add") == "add" else 0)
    batch = min(int(config["batch_size"]), sizes["train"])
    steps = steps_per_epoch(sizes["train"], mixed, batch, config.get("mixing_budget", "steps"))
    epochs = int(config["epochs"])
    training = epochs * (steps * rates.step + sizes["val"] * rates.image)
    predicting = rates.image * sum(sizes[fold] for fold in FOLD_OF_SPLIT.values())
    hit = [sizes[FOLD_OF_SPLIT[split]] for split in attacks.splits] if attacks.threats else []
    limit = max(hit, default=0) if attacks.images == "all" else int(attacks.images)
    return rates.rest + training + predicting + rates.attack * sum(min(one, limit) for one in hit)


def _few(fold: ImageSet, count: int) -> ImageSet:
    """At most `count` images, spread over the fold, so that every class is there."""
    if len(fold) <= count:
        return fold
    order = np.argsort(fold.labels, kind="stable") if not fold.multi_label else np.arange(len(fold))
    return fold.subset(np.sort(order[np.linspace(0, len(fold) - 1, count).round().astype(int)]))


def _generator_rate(stage: Stage, settings: Mapping[str, Any], data: Data) -> GeneratorRate:
    from sweep.synth.train import train_generator

    fold, label = data.read("train", stage.inputs["image_px"]), stage.inputs["label"]
    if label is not None:
        fold = fold.subset(np.flatnonzero(fold.labels == label))
    ends: list[float] = []
    begin = time.perf_counter()
    train_generator(
        stage.inputs["generator"],
        fold.images[:],
        None if label is not None else fold.labels,
        num_classes=1 if label is not None else len(data.classes),
        settings={**settings, "steps": _GENERATOR_STEPS},
        seed=stage.inputs["seed"],
        on_step=lambda step, facts: ends.append(time.perf_counter()),  # at steps 10 and 20, then after the last check
    )
    return GeneratorRate(time.perf_counter() - begin, (ends[1] - ends[0]) / 10, ends[-1] - ends[1])
