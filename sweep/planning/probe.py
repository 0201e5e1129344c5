"""Seconds of a record and of a generator, foreseen from a few steps of each on this machine: what --plan --measure and init rest on.

A probe is a record of the same configuration, cut short: a few batches of training images, a few epochs, few images predicted and attacked.
Each kind of configuration is probed at two sizes, so that what every record pays once (building the model, the first pass of an attack) is
told apart from the seconds of a step or an image; the record's own numbers of steps and images multiply the latter. Seed 0 alone draws a
gallery and looks for masked gradients: a probe of it, shared among the seeds. The first probe of a process does not count: it imports modules
and fills caches, which a sweep pays once and not once a record. A training that patience may end is counted with the middle of its shortest and
its full length.
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
from sweep.data.target_labels import known
from sweep.pipeline.blind_evaluation import MOST_SOURCE_IMAGES
from sweep.pipeline.stages import GENERATOR, needed_stages
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import steps_per_epoch, synthetic_counts
from sweep.store.artifact_store import Stage
from sweep.store.trial import Attacks, Trial
from sweep.training.hooks import TrainingHooks
from sweep.training.procedures import phases
from sweep.training.recipe import FEATURE_HEADS, Recipe

EPOCHS = 5  # of a probe; the first one is not timed
_OTHER_SEED = 1  # not 0, which also draws a gallery
_GENERATOR_STEPS = 20  # a generator reports every ten
# Hyperparameters that change how long a step or an attack takes; configurations that agree in them share a probe.
_COSTLY = (
    "backbone", "colorizer", "procedure", "batch_size", "precision", "compile", "optimizer", "augment", "mixup", "train_attack",
    "train_attack_steps", "dual_bn", "adapt", "lora_rank", "transformer_width", "transformer_depth", "glcm_levels", "glcm_window",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Optimiser steps of a probe's epoch, images of each fold but that of training, and of each split that are attacked."""

    steps: int
    images: int
    attacked: int


SMALL, LARGE = Size(steps=3, images=16, attacked=8), Size(steps=8, images=96, attacked=24)
# Share of the larger probe that is counted by its steps or images at least: the measurements scatter, and a model that a probe has hardly
# trained leaves attacks a number of images that varies.
_LEAST_OF_STEPS, _LEAST_OF_IMAGES = 0.5, 0.25


@dataclass(frozen=True)
class Line:
    """Seconds of something that costs `fixed` at any size and `each` for every step or image."""

    fixed: float
    each: float

    @classmethod
    def through(cls, small: tuple[int, float], large: tuple[int, float], least: float = 0.0) -> Line:
        """The line through two measurements (count, seconds). Neither part is negative, however the measurements scatter.

        `least`: share of the large measurement that is counted for each at least.
        """
        (few, short), (many, long) = small, large
        if many <= few:
            return cls(0.0, max(short, long) / max(1, many))
        each = min(max(least * long / many, (long - short) / (many - few)), long / many)
        return cls(max(0.0, (short + long) / 2 - each * (few + many) / 2), each)

    def of(self, count: int) -> float:
        """Seconds of `count` steps or images; of none nothing is paid."""
        return self.fixed + self.each * count if count else 0.0


@dataclass(frozen=True)
class Rates:
    """Seconds of the parts of a record of one kind of configuration.

    `start`: before and after the epochs. `epoch`: one epoch, in optimiser steps, without validation; of a head on frozen features its fit, in
    training images. `image`: predicting, in images. `attack`: attacks and acquisition changes, in images. `hospitals`: pseudo-hospitals, in
    images of source validation. `first_seed`: what seed 0 pays besides.
    """

    start: float
    epoch: Line
    image: Line
    attack: Line
    hospitals: Line
    first_seed: float = 0.0


@dataclass(frozen=True)
class Probe:
    """Counts and seconds of one probe."""

    steps: int
    predicted: int
    validated: int
    attacked: int
    start: float
    epoch: float
    evaluate: float
    hospitals: float
    attack: float


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
    """Foreseen seconds of one record of each trial, the mean over its seeds; each kind of configuration is timed once. `data` must be prepared."""
    folds = {fold: data.read(fold) for fold in FOLDS}
    rates, found = dict[tuple[Any, ...], Rates](), []
    for trial in trials:
        kind, seen = _kind(trial.config), data.seen_by(trial.config)
        if not rates:
            _probed(trial, _OTHER_SEED, SMALL, (data, folds, attacks, device))
        if kind not in rates:
            rates[kind] = _timed(trial, data, folds, attacks, device)
        found.append(_seconds(rates[kind], trial, seen, attacks))
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
    return (
        *costly,
        *(bool(config.get(name)) for name in ("glcm_weight", "train_eps", "grad_align", "stop_overfitting")),
    )


def _timed(trial: Trial, data: Data, folds: Mapping[str, ImageSet], attacks: Attacks, device: str) -> Rates:
    """Rates of one kind of configuration, from probes of two sizes and one of seed 0."""
    inputs = data, folds, attacks, device
    small, large = (_probed(trial, _OTHER_SEED, size, inputs) for size in (SMALL, LARGE))
    with_gallery = _probed(trial, 0, SMALL, inputs) if 0 in trial.seeds else small
    image = Line.through((small.predicted, small.evaluate), (large.predicted, large.evaluate), _LEAST_OF_IMAGES)
    # Validation is a prediction inside the epoch.
    epochs = [(one.steps, max(one.epoch - image.each * one.validated, 0.2 * one.epoch)) for one in (small, large)]
    return Rates(
        min(small.start, large.start),
        Line.through(epochs[0], epochs[1], _LEAST_OF_STEPS),
        image,
        Line.through((small.attacked, small.attack), (large.attacked, large.attack), _LEAST_OF_IMAGES),
        Line.through((small.validated, small.hospitals), (large.validated, large.hospitals)),
        max(0.0, with_gallery.attack - small.attack),
    )


def _probed(trial: Trial, seed: int, size: Size, inputs: tuple[Data, Mapping[str, ImageSet], Attacks, str]) -> Probe:
    """One record cut to `size`, in a folder that is removed again."""
    data, folds, attacks, device = inputs
    changes = {"epochs": EPOCHS, "synthetic_per_real": 0, "colorizer_from": None, "weights": None, "patience": EPOCHS}
    config = {**trial.config, **{name: value for name, value in changes.items() if name in trial.config}}
    recipe = Recipe.from_config(config)
    cut = {fold: _few(whole, size.images) for fold, whole in folds.items()}
    cut["train"] = _few(folds["train"], size.steps * recipe.batch_size)
    ends: list[float] = []
    hooks = TrainingHooks(on_epoch=lambda metrics: ends.append(time.perf_counter()))
    few = replace(attacks, images=_limit(attacks, size.attacked))
    with tempfile.TemporaryDirectory() as folder:
        probe = Trial(config, "probe", (seed,))
        job = TrainingJob(probe, seed, data, cut, few, Storage(folder), device=device, hooks=hooks)
        begin = time.perf_counter()
        seconds = run_seed(job)["seconds"]
    if recipe.procedure in FEATURE_HEADS:
        steps, epoch = len(cut["train"]), ends[0] - begin
    else:
        steps = steps_per_epoch(len(cut["train"]), len(cut["train"]), recipe.batch_size)
        epoch = statistics.median(later - earlier for earlier, later in pairwise(ends))
    return Probe(
        steps, sum(len(cut[fold]) for fold in FOLD_OF_SPLIT.values()), len(cut["val"]),
        _attacked_images({fold: one.labels for fold, one in cut.items()}, few),
        max(0.0, seconds["train"] - epoch * len(ends)), epoch, seconds["evaluate"], seconds["pseudo_hospitals"], seconds["attack"],
    )  # fmt: skip


def _seconds(rates: Rates, trial: Trial, data: Data, attacks: Attacks) -> float:
    """Seconds of a whole record from the rates of its kind, the mean over the seeds of its trial."""
    config, recipe = trial.config, Recipe.from_config(trial.config)
    labels, sizes = data.labels("train"), {fold: len(data.fold(fold)) for fold in FOLDS}
    ratio = config.get("synthetic_per_real") or 0
    more = sum(synthetic_counts(labels, ratio, config.get("mixing_policy", "add")).values()) if ratio else 0
    mixed = sizes["train"] + (more if config.get("mixing_policy", "add") == "add" else 0)
    batch = min(recipe.batch_size, sizes["train"])
    steps = steps_per_epoch(sizes["train"], mixed, batch, config.get("mixing_budget", "steps"))
    if recipe.procedure in FEATURE_HEADS:
        training = rates.epoch.of(sizes["train"]) + sizes["val"] * rates.image.each
    else:
        training = epochs_expected(recipe) * (rates.epoch.of(steps) + sizes["val"] * rates.image.each)
    hit = _attacked_images({fold: data.labels(fold) for fold in FOLDS}, attacks)
    return sum(
        (
            rates.start,
            training,
            rates.image.of(sum(sizes[fold] for fold in FOLD_OF_SPLIT.values())),
            rates.hospitals.of(min(sizes["val"], MOST_SOURCE_IMAGES)),
            rates.attack.of(hit),
            rates.first_seed / max(1, len(trial.seeds)),
        )
    )


def epochs_expected(recipe: Recipe) -> float:
    """Epochs that a training is counted with: the middle of its full length and the earliest end that patience allows, phase by phase."""
    lengths = [phase.epochs for phase in phases(recipe)]
    if not recipe.patience:
        return sum(lengths)
    return sum((length + min(length, recipe.patience + 1)) / 2 for length in lengths)


def _attacked_images(labels: Mapping[str, np.ndarray], attacks: Attacks) -> int:
    """Images that attacks and acquisition changes are run on, over all splits: of those with a known label, at most as many as asked for."""
    if not (attacks.threats or attacks.acquisition):
        return 0
    there = [int(known(labels[FOLD_OF_SPLIT[split]]).sum()) for split in attacks.splits]
    return sum(min(count, _limit(attacks, count)) for count in there)


def _limit(attacks: Attacks, images: int) -> int:
    return images if attacks.images == "all" else min(images, int(attacks.images))


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
