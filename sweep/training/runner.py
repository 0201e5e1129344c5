"""How a training step is run: directly, or as a recording that is replayed, checked against the direct way before it is trusted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from sweep.core.capture import TOLERANCE, Recordable, Recorder, Replay, Saved, record_checked
from sweep.training.dual_norms import DualNorms
from sweep.training.ema import AveragedWeights
from sweep.training.optimizer import scale_lr, write_lr
from sweep.training.precision import resolved_precision
from sweep.training.recipe import Recipe


class RecordableStep(Protocol):
    """What a runner needs of a step: `Step` of one model, or `StackedStep` of several."""

    model: Any
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    device: torch.device
    dual_norms: DualNorms | None
    average: AveragedWeights | None
    trained: list[Any]

    @property
    def replays(self) -> int:
        """Updates on each batch."""
        ...

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, generator: Any, /) -> Sequence[torch.Tensor]:
        """Update on one batch; the detached losses."""
        ...


class StepRunner(Protocol):
    """Runs a step on batches. `how` says in which way, for the record of the run."""

    how: str

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, generator: Any) -> Sequence[torch.Tensor]:
        """As `Step.__call__`."""
        ...


class EagerRunner:
    """Calls the step."""

    def __init__(self, step: RecordableStep, why: str | None = None) -> None:
        self.step, self.how = step, "eager" if why is None else f"eager: {why}"

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, generator: Any) -> Sequence[torch.Tensor]:
        """As `Step.__call__`."""
        return self.step(images, labels, generator)


class CapturedRunner:
    """Records the step on its first batch and replays it on every batch.

    Before the first replay counts it is checked against direct steps (`record_checked`). Where they differ, or the step cannot be
    captured, every step runs directly, and a warning says why.
    """

    def __init__(self, step: RecordableStep, recorder: Recorder) -> None:
        self.step, self.recorder, self.how = step, recorder, "captured"
        self._replay: Replay | None = None
        self._direct: EagerRunner | None = None
        self._images = self._labels = torch.empty(0)
        self._losses: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, generator: Any) -> Sequence[torch.Tensor]:
        """As `Step.__call__`."""
        if self._replay is None and self._direct is None:
            self._prepare(images, labels, generator)
        if self._replay is None or images.shape != self._images.shape or labels.shape != self._labels.shape:
            return self.step(images, labels, generator)
        self._images.copy_(images, non_blocking=True)
        self._labels.copy_(labels, non_blocking=True)
        self._replay()
        return [loss.clone() for loss in self._losses]

    def _prepare(self, images: torch.Tensor, labels: torch.Tensor, generator: Any) -> None:
        device = self.step.device
        self._images = images.to(device, copy=True)
        self._labels = torch.as_tensor(labels).to(device, copy=True)
        optimizer, recipe = self.step.optimizer, self.step.recipe
        found = record_checked(
            Recordable(
                lambda: self.step(self._images, self._labels, generator),
                StepState(self.step, generator),
                self.step.trained,
                TOLERANCE[resolved_precision(device, recipe.precision)],
                getattr(generator, "generators", (generator,)),
                lambda number: scale_lr(optimizer, number / max(1, number - 1)),
            ),
            self.recorder,
        )
        if not isinstance(found, str):
            self._replay, self._losses = found
            return
        self._direct = EagerRunner(self.step, found)
        self.how = self._direct.how
        warnings.warn(f"training steps run without a CUDA graph: {found}", RuntimeWarning, stacklevel=2)


class StepState(Saved):
    """Everything that a step changes."""

    def __init__(self, step: RecordableStep, generator: Any) -> None:
        super().__init__(_tensors(step), [step.optimizer], generator, step.device)
        self.step = step
        self._lr = [_copied(group["lr"]) for group in step.optimizer.param_groups]
        self._steps_averaged = None if step.average is None else step.average.steps

    def restore(self) -> None:
        """Put everything back."""
        super().restore()
        for group, lr in zip(self.step.optimizer.param_groups, self._lr, strict=True):
            write_lr(group, lr)
        if self.step.average is not None and self._steps_averaged is not None:
            self.step.average.steps = self._steps_averaged


def why_not_captured(step: RecordableStep, workers: int) -> str | None:
    """Why this step cannot be recorded; None where it can be tried."""
    recipe = step.recipe
    if workers > 1:
        return "several workers average their gradients between the kernels"
    if recipe.compile:
        return "compile makes its own"
    if recipe.mixup:
        return "mixup draws the share of each batch on the host"
    if step.replays > 1:
        return "free adversarial training carries a perturbation from batch to batch"
    return None


def runner_for(step: RecordableStep, recorder: Recorder | None, workers: int) -> StepRunner:
    """Recorded steps where there is a recorder and the step can be recorded, direct ones elsewhere."""
    if recorder is None:
        return EagerRunner(step)
    why = why_not_captured(step, workers)
    return CapturedRunner(step, recorder) if why is None else EagerRunner(step, why)


def _copied(lr: float | torch.Tensor) -> float | torch.Tensor:
    return lr.clone() if isinstance(lr, torch.Tensor) else lr


def _tensors(step: RecordableStep) -> list[torch.Tensor]:
    found = list(step.model.state_dict(keep_vars=True).values())
    if step.dual_norms is not None:
        found += step.dual_norms.tensors.values()
    if step.average is not None:
        found += step.average.tensors()
    return found
