"""All seeds of one configuration trained as one stacked model: every weight gets a leading axis, one kernel serves all members.

A small network leaves most of a GPU idle: its kernels are too short. Stacking K members of equal shapes makes each kernel K times as long
(HFTA, Wang et al. 2021, arXiv 2102.02344). Members share nothing: each has its own data order, augmentation, dropout, gradient norm and
best epoch, and one that diverges or stops leaves the others as they were. `torch.func.vmap` turns convolutions into grouped ones and
products into batched ones.
"""

# K members, B images of a batch, C classes.

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from sweep.core.activity import doing
from sweep.core.capture import recorder_for
from sweep.core.errors import Diverged, InputError, first_line
from sweep.core.seeds import named_seed
from sweep.evaluation.evaluate import eval_mode
from sweep.training import parts, validation
from sweep.training.augment import AUGMENTATIONS
from sweep.training.checkpoint import Progress, Snapshot
from sweep.training.ema import AveragedWeights, on_cpu
from sweep.training.fit import Batches, FitOptions, FitResult
from sweep.training.hooks import TrainingHooks
from sweep.training.midway import Midway, go_on_drawing
from sweep.training.objective import balanced_weights, build_objective
from sweep.training.optimizer import make_recordable, set_lr
from sweep.training.precision import autocast, training_products
from sweep.training.procedures import Phase, phases
from sweep.training.recipe import FEATURE_HEADS, Recipe
from sweep.training.runner import runner_for
from sweep.training.stack import Stack, StackedStep, member_optimizer_state, stacked_optimizer, stacked_optimizer_state

_VAL_BATCH = 64


class NotStackable(Exception):
    """These members cannot train as one; the text says why. Nothing has been trained."""


class StackInterrupted(Exception):
    """The run was asked to stop between two steps; `states` continue each member, alone or stacked."""

    def __init__(self, states: list[bytes]) -> None:
        self.states = states
        super().__init__("stopped between two steps; the states of all members are kept")


def why_not_stacked(recipe: Recipe, models: Sequence[nn.Module]) -> str | None:
    """Why these members cannot train as one; None where it can be tried."""
    shapes = [{name: value.shape for name, value in model.state_dict().items()} for model in models]
    if any(shape != shapes[0] for shape in shapes[1:]):
        return "their weights have different shapes"
    if recipe.glcm_weight and parts.has_learned_colorizer(models[0]):
        return "the texture loss works on one model's colours"
    if recipe.procedure in FEATURE_HEADS:
        return "a head on frozen features takes no gradient steps"
    if recipe.layer_decay != 1 or parts.fixed_names(models[0]):
        return "layer-wise learning rates and low-rank adapters are set for one model"
    if AUGMENTATIONS[recipe.augment].policy is not None:
        return f"augment {recipe.augment} draws for one model's batch"
    if recipe.train_eps:
        return "adversarial training attacks one model"
    return "compile compiles one model" if recipe.compile else None


def fit_stacked(
    models: Sequence[nn.Module],
    batches: Sequence[Batches],
    val: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    options: FitOptions,
    hooks: Sequence[TrainingHooks],
    states: Sequence[bytes | None] | None = None,
    labels: Sequence[np.ndarray] | None = None,
) -> list[FitResult | Diverged]:
    """Train `models` together, each as `fit` would with its batches and seed, and leave each with the weights of its best epoch.

    `labels` are each member's training labels, for balanced class weights. A member whose loss or logits stop being finite has its
    Diverged as result. `hooks.on_epoch` and `hooks.save_state` of a member are called after each of its epochs, `hooks.interrupted` of the first
    after each step. Raises NotStackable before anything is trained, StackInterrupted when told to stop.
    """
    why = why_not_stacked(recipe, models)
    if why is not None:
        raise NotStackable(why)
    device = torch.device(options.device)
    given = list(states or [None] * len(models))
    run = _StackedRun(models, batches, val, recipe, seeds, options, hooks, given, labels, device)
    try:
        with training_products(device, recipe.precision):
            return run.to_end()
    finally:
        for one in hooks:
            if one.settle_state is not None:
                one.settle_state()


@dataclass
class _StackedRun:
    models: Sequence[nn.Module]
    batches: Sequence[Batches]
    val: tuple[np.ndarray, np.ndarray]
    recipe: Recipe
    seeds: Sequence[int]
    options: FitOptions
    hooks: Sequence[TrainingHooks]
    states: list[bytes | None]
    labels: Sequence[np.ndarray] | None
    device: torch.device
    failed: dict[int, Diverged] = field(default_factory=dict)
    how: str = "eager"

    def to_end(self) -> list[FitResult | Diverged]:
        resumed = self._resumed()
        for model in self.models:
            model.to(self.device)
        self.recorder = (self.options.recorder or recorder_for(self.device)) if self.options.capture else None
        self.stack = Stack(self.models)
        self._check_forward()
        self.draws = Draws([torch.Generator(self.device) for _ in self.models])
        self.progress = [Progress() for _ in self.models] if resumed is None else [one.progress for one in resumed]
        if resumed is not None:
            self.stack.load([one.model for one in resumed])
        for phase in phases(self.recipe)[self.progress[0].phase :]:
            self._train(phase, resumed)
            resumed = None
        for place, model in enumerate(self.models):
            model.load_state_dict(self.stack.member(place))
            parts.train_only(model, parts.PARTS)
            model.eval()
        return [self.failed.get(place) or self._result(done) for place, done in enumerate(self.progress)]

    def _result(self, done: Progress) -> FitResult:
        return FitResult(
            done.best_epoch,
            done.epoch,
            done.history,
            done.seconds,
            done.images_seen,
            f"{self.how}, {len(self.models)} seeds stacked",
        )

    def _resumed(self) -> list[Snapshot] | None:
        """The members' states where all of them stand at the same place. Raises NotStackable where they do not."""
        if all(state is None for state in self.states):
            return None
        found = [
            Snapshot.from_bytes(state, self.recipe, seed)
            for state, seed in zip(self.states, self.seeds, strict=True)
            if state is not None
        ]
        places = {(one.progress.phase, one.progress.phase_epoch, _batches_done(one)) for one in found}
        if len(found) < len(self.models) or len(places) > 1:
            raise NotStackable("they were interrupted at different places")
        return found

    def _check_forward(self) -> None:
        """Compare the stacked forward pass with each member's own. Raises NotStackable where vmap refuses or they differ."""
        images = torch.from_numpy(np.ascontiguousarray(self.val[0][:4])).to(self.device)
        inputs = images.unsqueeze(1).float().div_(255)
        with torch.no_grad(), eval_mode(self.stack.base):
            try:
                together = self.stack.forward(inputs.expand(len(self.models), *inputs.shape))
            except RuntimeError as error:
                raise NotStackable(f"vmap refuses the model ({first_line(error)})") from error
            for place, model in enumerate(self.models):
                with eval_mode(model):
                    alone = model(inputs)
                gap, size = (float(part.abs().max()) for part in (together[place] - alone, alone))
                if not gap <= 1e-3 * max(size, 1e-6):
                    raise NotStackable(f"the stacked forward pass differs by {gap:.1g}")

    def _train(self, phase: Phase, resumed: list[Snapshot] | None) -> None:
        self.stack.train_only(phase.parts)
        self.optimizer = stacked_optimizer(self.stack, phase, self.recipe)
        self.average = (
            AveragedWeights(self.stack, self.recipe.ema, self.recorder is not None) if self.recipe.ema else None
        )
        midway = None if resumed is None else self._restore(resumed)
        if self.recorder is not None:
            make_recordable(self.optimizer, self.device)
        self.step = StackedStep(
            self.stack, self.optimizer, self._objectives(), self.recipe, self.device, average=self.average
        )
        self.run_step = runner_for(self.step, self.recorder, workers=1)
        while self._unfinished(phase):
            self._epoch(phase, midway)
            midway = None
        self.how = self.run_step.how
        self.stack.load([done.best_weights or self.stack.member(place) for place, done in enumerate(self.progress)])
        for done in self.progress:
            done.next_phase()

    def _unfinished(self, phase: Phase) -> list[int]:
        patience = self.recipe.patience
        return [
            place
            for place, done in enumerate(self.progress)
            if place not in self.failed and done.phase_epoch < phase.epochs and not 0 < patience <= done.stale
        ]

    def _epoch(self, phase: Phase, midway: list[Midway] | None) -> None:
        going, started = self._unfinished(phase), time.perf_counter()
        first = self.progress[going[0]]
        steps = self.batches[0].steps_per_epoch
        begin = 0 if midway is None else midway[0].batches
        losses = [] if midway is None else list(torch.stack([one.losses for one in midway], 1).to(self.device))
        with self._own_randomness(first.epoch):
            self.stack.set_modes(self.recipe.frozen_bn)
            if midway is not None:
                for one, generator in zip(midway, self.draws.generators, strict=True):
                    go_on_drawing(one.draws, generator, self.device)
            for number, pairs in enumerate(islice(self._batches(first.epoch), begin, steps), start=begin):
                set_lr(self.optimizer, self.recipe, (first.phase_epoch + number / steps) / phase.epochs)
                doing(f"training {len(going)} seeds", first.phase_epoch * steps + number, phase.epochs * steps)
                images = torch.stack([pair[0].to(self.device) for pair in pairs])
                targets = torch.stack([pair[1].to(self.device) for pair in pairs])
                losses += self.run_step(images, targets, self.draws)
                for place in going:
                    self.progress[place].images_seen += images.shape[1]
                self._stop_if_told(number + 1, losses)
        values = torch.stack(losses).double().cpu().numpy()
        logits = self._validation_logits()
        seconds = (time.perf_counter() - started) / len(going)
        due = self.hooks[0].state_due is None or self.hooks[0].state_due()  # of all members or of none
        for place in going:
            done = self.progress[place]
            try:
                metrics = self._metrics(place, values[:, place], logits[place], phase)
            except Diverged as error:
                self.failed[place] = error
                continue
            done.seconds += seconds
            done.steps += len(values)
            self._note(place, metrics, due)

    def _batches(self, epoch: int) -> Iterator[tuple[tuple[torch.Tensor, torch.Tensor], ...]]:
        return zip(*(one(epoch) for one in self.batches), strict=True)

    def _metrics(self, place: int, losses: np.ndarray, logits: np.ndarray, phase: Phase) -> dict[str, float]:
        for number, value in enumerate(losses, start=self.progress[place].steps + 1):
            if not np.isfinite(value):
                raise Diverged("train", number, float(value))
        found = validation.metrics_of(logits, self.val[1], self.progress[place].steps + len(losses))
        groups = {group["part"]: float(group["lr"]) for group in self.optimizer.param_groups}
        lr = groups.get("backbone", max(groups.values()))
        return {"loss/train": float(losses.mean()), "lr": lr, "phase": phase.number} | found

    @torch.no_grad()
    def _validation_logits(self) -> np.ndarray:
        """float32 [K, N, C], in the precision of training."""
        images = torch.from_numpy(np.ascontiguousarray(self.val[0][:])).to(self.device)
        found = []
        with (
            self.average.swapped_in(self.stack) if self.average is not None else nullcontext(),
            eval_mode(self.stack.base),
            autocast(self.device, self.recipe.precision),
        ):
            for part in images.split(_VAL_BATCH):
                inputs = part.unsqueeze(1).float().div_(255)
                found.append(self.stack.forward(inputs.expand(len(self.models), *inputs.shape)).float())
        return torch.cat(found, dim=1).cpu().numpy()

    def _note(self, place: int, metrics: dict[str, float], save: bool) -> None:
        done, hooks = self.progress[place], self.hooks[place]
        done.epoch, done.phase_epoch, done.stale = done.epoch + 1, done.phase_epoch + 1, done.stale + 1
        if done.best_score is None or validation.score(metrics) > done.best_score:
            done.best_score, done.best_epoch, done.stale = validation.score(metrics), done.epoch, 0
            source = self.stack.state_dict() if self.average is None else self.average.shadow
            done.best_weights = {name: value[place].clone() for name, value in source.items()}
        metrics = {"epoch": done.epoch} | metrics
        done.history.append(metrics)
        if save and hooks.save_state is not None:
            hooks.save_state(self._snapshot(place).to_bytes(self.recipe, self.seeds[place]))
        if hooks.on_epoch is not None:
            self.models[place].load_state_dict(self.stack.member(place))
            hooks.on_epoch(dict(metrics))

    def _snapshot(self, place: int, **more: Any) -> Snapshot:
        extras: dict[str, Any] = {}
        if self.average is not None:
            whole = self.average.state()
            extras["average"] = whole | {"shadow": {name: value[place] for name, value in whole["shadow"].items()}}
        optimizer = member_optimizer_state(self.optimizer, place, len(self.models))
        return Snapshot(self.progress[place], on_cpu(self.stack.member(place)), optimizer, extras | more)

    def _stop_if_told(self, batches: int, losses: list[torch.Tensor]) -> None:
        interrupted = self.hooks[0].interrupted
        if interrupted is None or not interrupted():
            return
        values = torch.stack(losses)
        states = []
        for place, generator in enumerate(self.draws.generators):
            draws = {"torch": torch.get_rng_state(), "augment": generator.get_state()}
            if self.device.type == "cuda":
                draws["cuda"] = torch.cuda.get_rng_state(self.device)
            midway = Midway(batches, values[:, place], draws)
            states.append(self._snapshot(place, midway=midway.state()).to_bytes(self.recipe, self.seeds[place]))
        raise StackInterrupted(states)

    def _restore(self, resumed: list[Snapshot]) -> list[Midway] | None:
        self.optimizer.load_state_dict(stacked_optimizer_state([one.optimizer for one in resumed]))
        if self.average is not None:
            found = [one.extras["average"] for one in resumed]
            shadow = {name: torch.stack([one["shadow"][name] for one in found]) for name in found[0]["shadow"]}
            self.average.load({"steps": found[0]["steps"], "shadow": shadow})
        midways = [Midway.of(one.extras.get("midway")) for one in resumed]
        return None if midways[0] is None else [one for one in midways if one is not None]

    def _objectives(self) -> list[Any]:
        if self.recipe.class_weighting != "balanced":
            return [build_objective(self.recipe, None, self.device)] * len(self.models)
        if self.labels is None:
            raise InputError(
                "class_weighting", "balanced has no labels to count", "give labels, those of all training images"
            )
        classes = self._validation_logits().shape[2]
        weights = [balanced_weights(torch.as_tensor(one), classes) for one in self.labels]
        return [build_objective(self.recipe, one, self.device) for one in weights]

    @contextmanager
    def _own_randomness(self, epoch: int) -> Iterator[None]:
        """Augmentation of a member is that of its seed trained alone; dropout draws from one stream, other numbers for each member."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(named_seed(self.seeds[0], "dropout", epoch, 0))
            for seed, generator in zip(self.seeds, self.draws.generators, strict=True):
                generator.manual_seed(named_seed(seed, "augment", epoch, 0))
            yield


class Draws:
    """The generators of all members, saved and restored as one."""

    def __init__(self, generators: list[torch.Generator]) -> None:
        self.generators = generators

    def get_state(self) -> list[torch.Tensor]:
        """The states of all of them."""
        return [generator.get_state() for generator in self.generators]

    def set_state(self, states: list[torch.Tensor]) -> None:
        """The inverse of `get_state`."""
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)


def _batches_done(snapshot: Snapshot) -> int:
    midway = snapshot.extras.get("midway")
    return 0 if midway is None else int(midway["batches"])


def bytes_of_member(model: nn.Module, batch_size: int, image_px: int) -> int:
    """Estimated memory of one member on a device: weights, gradients, two moments and best weights, and what a step saves for its backward pass."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    few = min(batch_size, 2)
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    held = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}
    device = next(model.parameters()).device
    probe = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        probe(torch.zeros(few, 1, image_px, image_px, device=device))
    activations = sum(size for place, size in saved.items() if place not in held)
    return 5 * weights + activations * batch_size // few
