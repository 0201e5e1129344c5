"""The training loop: a classifier, batches and a recipe in; the classifier with its best weights out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from sweep.core.activity import doing
from sweep.core.capture import Recorder, recorder_for
from sweep.core.errors import InputError
from sweep.core.seeds import named_seed
from sweep.evaluation.evaluate import predict
from sweep.training import parts, validation, workers
from sweep.training.adversarial import step_class
from sweep.training.checkpoint import Progress, Snapshot
from sweep.training.dual_norms import DualNorms
from sweep.training.ema import AveragedWeights, on_cpu, snapshot
from sweep.training.hooks import TrainingHooks
from sweep.training.loss_watch import LossWatch
from sweep.training.midway import Interrupted, Midway, draws_so_far, go_on_drawing
from sweep.training.objective import Objective, balanced_weights, build_objective
from sweep.training.optimizer import build_optimizer, make_recordable, portable_state, set_lr
from sweep.training.overfitting import first_overfitting, overfitted, watch_for
from sweep.training.precision import training_products
from sweep.training.procedures import Phase, phases
from sweep.training.recipe import Recipe
from sweep.training.runner import runner_for
from sweep.training.step import TextureLoss

Metrics = Mapping[str, float]
_VAL_BATCH = 64


class Batches(Protocol):
    """Batches of an epoch, the same for the same epoch number; labels are int64 [N], or floats [N, K] with NaN = unknown."""

    steps_per_epoch: int

    def __call__(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]: ...


@dataclass(frozen=True)
class FitResult:
    """What a run of the loop did; epochs count from 1."""

    best_epoch: int
    epochs_run: int
    history: list[dict[str, float]]
    seconds: float
    images_seen: int
    steps_ran: str = "eager"  # or "captured", or "eager: ..." with what kept a GPU's steps from being captured
    overfitting: Metrics | None = None  # of adversarial training by single steps: see `first_overfitting`


class ClosableBatches(Batches, Protocol):
    """Batches that read ahead until they are closed."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Pretraining:
    """Batches of synthetic images for the first `share` of the epochs; an epoch takes as many steps as one on real images."""

    batches: ClosableBatches
    share: float


@dataclass(frozen=True)
class FitOptions:
    """What the loop needs beside model, data and recipe.

    `train_labels` are those of all training images, whatever share of them this worker sees: balanced class weights are counted on
    them, so that all workers and seeds weigh classes alike. `state` is what an earlier run gave to `save_state` or raised with Interrupted.
    `capture` replays each training step as one CUDA graph on a GPU (see `runner`); `recorder` replaces CUDA graphs.
    """

    device: str | torch.device = "cpu"
    train_labels: np.ndarray | None = None
    texture_loss: TextureLoss | None = None
    state: bytes | None = None
    capture: bool = True
    recorder: Recorder | None = None
    pretraining: Pretraining | None = None


_NO_OPTIONS, _NO_HOOKS = FitOptions(), TrainingHooks()


def fit(
    model: nn.Module,
    batches: Batches,
    val: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    *,
    seed: int,
    options: FitOptions = _NO_OPTIONS,
    hooks: TrainingHooks = _NO_HOOKS,
) -> FitResult:
    """Train `model` in place and leave it in eval mode with the weights of its best epoch on source validation.

    `val` is (uint8 [N, H, W], labels). Raises Diverged when a loss stops being finite, Interrupted when `hooks.interrupted` says so,
    InputError when there is nothing to train on, when labels to weigh classes by are missing or `options.state` does not fit.
    """
    if len(val[0]) == 0 or batches.steps_per_epoch < 1:
        raise InputError(
            "training", "no training batch or no validation image", "give more images or a smaller batch_size"
        )
    return _Run(model, batches, val, recipe, seed, options, hooks).to_end()


@dataclass
class _Run:
    model: nn.Module
    batches: Batches
    val: tuple[np.ndarray, np.ndarray]
    recipe: Recipe
    seed: int
    options: FitOptions
    hooks: TrainingHooks
    midway: Midway | None = None
    steps_ran: str = "eager"

    def to_end(self) -> FitResult:
        self.device = torch.device(self.options.device)
        self.recorder = (self.options.recorder or recorder_for(self.device)) if self.options.capture else None
        # One object for the whole run: a recorded step draws from the generator that it was recorded with.
        self.draws = torch.Generator(self.device)
        try:
            with training_products(self.device, self.recipe.precision):
                return self._trained()
        finally:
            if self.hooks.settle_state is not None:
                self.hooks.settle_state()

    def _trained(self) -> FitResult:
        state = self.options.state
        self.inner = parts.unwrapped(self.model)
        self.inner.to(self.device)
        parts.to_channels_last(self.inner)
        self.objective = self._objective()
        self.dual_norms = self._dual_norms()
        self.validate = validation.Validation(
            self.inner, self.val, device=self.device, precision=self.recipe.precision, batch_size=_VAL_BATCH,
            recorder=self.recorder if workers.world_size() == 1 else None,
        )  # fmt: skip
        self.overfitting_watch = watch_for(self.val, self.recipe, self.device, self.seed)
        self.progress, resumed = Progress(), None
        if state is not None:
            resumed = Snapshot.from_bytes(state, self.recipe, self.seed)
            self.progress = resumed.progress
            self.inner.load_state_dict(resumed.model)
        pretraining = self.options.pretraining
        for phase in phases(self.recipe, pretraining.share if pretraining else 0)[self.progress.phase :]:
            self._train(phase, resumed)
            resumed = None
        parts.to_contiguous(self.inner)
        parts.train_only(self.inner, parts.PARTS)
        self.inner.eval()
        done = self.progress
        return FitResult(
            done.best_epoch, done.epoch, done.history, done.seconds, done.images_seen, self.steps_ran,
            first_overfitting(done.history),
        )  # fmt: skip

    def _train(self, phase: Phase, resumed: Snapshot | None) -> None:
        self._enter(phase, resumed)
        done = self.progress
        try:
            while done.phase_epoch < phase.epochs and not self._is_stale() and not self._has_overfitted():
                self._note(self._measured_epoch(phase))
        finally:
            self.step.close()
            self.steps_ran = self.run_step.how
        if done.best_weights is not None:  # None: the phase has no epoch left to train
            self.inner.load_state_dict(done.best_weights)
        done.next_phase()

    def _measured_epoch(self, phase: Phase) -> dict[str, float]:
        started = time.perf_counter()
        metrics = self._epoch(phase) | self._validation()
        if self.hooks.reduce is not None:
            metrics = self.hooks.reduce(metrics)
        self.progress.seconds += time.perf_counter() - started
        return metrics

    def _enter(self, phase: Phase, resumed: Snapshot | None) -> None:
        parts.train_only(self.inner, phase.parts)
        self.optimizer = build_optimizer(self.inner, phase, self.recipe, self.dual_norms)
        recorded = self.recorder is not None
        self.average = AveragedWeights(self.inner, self.recipe.ema, recorded) if self.recipe.ema else None
        if resumed is not None:
            self._restore(resumed)
        if recorded:
            make_recordable(self.optimizer, self.device)
        wrapped = workers.wrapped_for(self.model, phase.parts)
        forward: Callable[[torch.Tensor], torch.Tensor] = torch.compile(wrapped) if self.recipe.compile else wrapped
        self.step = step_class(self.recipe)(
            forward, self.inner, self.optimizer, self.objective, self.recipe, self.device,
            self._texture_of(phase), self.dual_norms, self.average,
        )  # fmt: skip
        self.run_step = runner_for(self.step, self.recorder, workers.world_size())

    def _restore(self, resumed: Snapshot) -> None:
        self.optimizer.load_state_dict(resumed.optimizer)
        for name, part in (("average", self.average), ("dual_norms", self.dual_norms)):
            if part is not None:
                part.load(resumed.extras[name])
        self.midway = Midway.of(resumed.extras.get("midway"))

    def _epoch(self, phase: Phase) -> dict[str, float]:
        done = self.progress
        watch = LossWatch(done.steps, self.device)
        batches = self._batches_of(phase)
        steps = math.ceil(batches.steps_per_epoch / self.step.replays)
        with self._own_randomness() as generator:
            parts.set_modes(self.inner, self.recipe.frozen_bn)
            self.step.begin_epoch()
            begin = self._resume_midway(watch, generator)
            for number, (images, labels) in enumerate(islice(batches(done.epoch), begin, steps), start=begin):
                set_lr(self.optimizer, self.recipe, (done.phase_epoch + number / steps) / phase.epochs)
                doing("training", done.phase_epoch * steps + number, phase.epochs * steps)
                for loss in self.run_step(images, labels, generator):
                    watch.add(loss)
                done.images_seen += len(images)
                self._stop_if_told(number + 1, watch, generator)
        done.steps += len(watch.values)
        return {"loss/train": watch.mean(), "lr": self._lr(), "phase": phase.number}

    def _batches_of(self, phase: Phase) -> Batches:
        return self.options.pretraining.batches if phase.pretraining and self.options.pretraining else self.batches

    def _resume_midway(self, watch: LossWatch, generator: torch.Generator) -> int:
        """How many batches of this epoch an earlier run has done."""
        midway, self.midway = self.midway, None
        if midway is None:
            return 0
        watch.values = list(midway.losses.to(self.device))
        if workers.world_size() == 1:
            go_on_drawing(midway.draws, generator, self.device)
        if midway.carried is not None:
            self.step.carried = midway.carried.to(self.device)
        return midway.batches

    def _stop_if_told(self, batches: int, watch: LossWatch, generator: torch.Generator) -> None:
        if self.hooks.interrupted is None or not self.hooks.interrupted():
            return
        watch.mean()  # a loss that was not read yet may be infinite
        midway = Midway(batches, torch.stack(watch.values), draws_so_far(generator, self.device), self.step.carried)
        raise Interrupted(self._snapshot(midway=midway.state()).to_bytes(self.recipe, self.seed))

    def _validation(self) -> dict[str, float]:
        workers.share_buffers(self.model, () if self.dual_norms is None else self.dual_norms.buffers())
        with self.average.swapped_in(self.inner) if self.average is not None else nullcontext():
            attacked = {} if self.overfitting_watch is None else self.overfitting_watch(self.inner)
            return self.validate(self.progress.steps) | attacked

    def _note(self, metrics: dict[str, float]) -> None:
        done = self.progress
        done.epoch, done.phase_epoch, done.stale = done.epoch + 1, done.phase_epoch + 1, done.stale + 1
        metrics = {"epoch": done.epoch} | metrics
        done.history.append(metrics)
        better = done.best_score is None or validation.score(metrics) > done.best_score
        if better and not self._has_overfitted():
            done.best_score, done.best_epoch, done.stale = validation.score(metrics), done.epoch, 0
            done.best_weights = snapshot(self.inner) if self.average is None else self.average.snapshot()
        if self.hooks.save_state is not None and (self.hooks.state_due is None or self.hooks.state_due()):
            self.hooks.save_state(self._snapshot().to_bytes(self.recipe, self.seed))
        if self.hooks.on_epoch is not None:
            self.hooks.on_epoch(dict(metrics))

    def _snapshot(self, **more: Any) -> Snapshot:
        parts_with_state = {"average": self.average, "dual_norms": self.dual_norms}
        extras = {name: part.state() for name, part in parts_with_state.items() if part is not None}
        return Snapshot(self.progress, on_cpu(self.inner.state_dict()), portable_state(self.optimizer), extras | more)

    def _is_stale(self) -> bool:
        return 0 < self.recipe.patience <= self.progress.stale

    def _has_overfitted(self) -> bool:
        """Whether the phase ends here because its last epoch overfits the single-step attack."""
        done = self.progress
        return self.recipe.stop_overfitting and done.phase_epoch > 0 and overfitted(done.history)

    def _lr(self) -> float:
        groups = {group["part"]: group["lr"] for group in self.optimizer.param_groups}
        return float(groups.get("backbone", max(groups.values())))

    def _texture_of(self, phase: Phase) -> TextureLoss | None:
        wanted = self.recipe.glcm_weight > 0 and "colorizer" in phase.parts and parts.has_learned_colorizer(self.inner)
        return self.options.texture_loss if wanted else None

    def _dual_norms(self) -> DualNorms | None:
        return DualNorms(self.inner) if self.recipe.dual_bn and self.recipe.train_eps else None

    def _objective(self) -> Objective:
        weights = None
        if self.recipe.class_weighting == "balanced":
            if self.options.train_labels is None:
                raise InputError(
                    "class_weighting",
                    "balanced has no labels to count",
                    "give train_labels, those of all training images",
                )
            classes = predict(self.inner, self.val[0][:1], 1, self.device).shape[1]
            weights = balanced_weights(torch.as_tensor(self.options.train_labels), classes)
        return build_objective(self.recipe, weights, self.device)

    @contextmanager
    def _own_randomness(self) -> Iterator[torch.Generator]:
        """Dropout and augmentation of an epoch depend on (seed, epoch, worker) alone: what makes a resumed run exact."""
        devices = [self.device] if self.device.type == "cuda" else []
        names = (self.progress.epoch, workers.rank())
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(named_seed(self.seed, "dropout", *names))
            yield self.draws.manual_seed(named_seed(self.seed, "augment", *names))
