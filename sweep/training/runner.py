"""How a training step is run: directly, or as a recording that is replayed, checked against the direct way before it is trusted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from sweep.core.capture import TOLERANCE, Recorder, Replay, Saved, Trace, difference, first_line
from sweep.core.errors import Diverged
from sweep.training.dual_norms import DualNorms
from sweep.training.ema import AveragedWeights
from sweep.training.optimizer import scale_lr, write_lr
from sweep.training.precision import resolved_precision
from sweep.training.recipe import Recipe

CHECKED_STEPS = 3  # a frozen learning rate or counter shows from the second step on


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

    Before the first replay counts, CHECKED_STEPS steps run directly and the same steps as replays, from the same state; their losses
    and the weights they lead to must agree. Where they do not, or the step cannot be captured, every step runs directly, and a
    warning says why. Weights, optimiser and random streams are put back after the check, so it changes no result.
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
        before = StepState(self.step, generator)
        try:
            direct = self._checked(before, lambda: self.recorder.warm_up(lambda: self._run(generator)))
            before.restore()
            replay = self.recorder.record(lambda: self._run(generator), getattr(generator, "generators", (generator,)))
            replayed = self._checked(before, replay)
            problem = difference(direct, replayed, TOLERANCE[resolved_precision(device, self.step.recipe.precision)])
        except Diverged:
            raise
        except RuntimeError as error:  # what CUDA refuses to capture, and what does not fit into memory twice
            problem = f"capture failed ({first_line(error)})"
        finally:
            before.restore()
        if problem is None:
            self._replay = replay
            return
        self._direct = EagerRunner(self.step, problem)
        self.how, self._losses = self._direct.how, []
        warnings.warn(f"training steps run without a CUDA graph: {problem}", RuntimeWarning, stacklevel=2)

    def _run(self, generator: Any) -> None:
        self._losses = list(self.step(self._images, self._labels, generator))

    def _checked(self, before: StepState, run: Callable[[], None]) -> Trace:
        """CHECKED_STEPS steps from the state `before`, each with another learning rate."""
        before.restore()
        losses: list[torch.Tensor] = []
        for number in range(1, CHECKED_STEPS + 1):
            scale_lr(self.step.optimizer, number / max(1, number - 1))
            run()
            losses += [loss.clone() for loss in self._losses]
        return Trace(torch.stack(losses).flatten().tolist(), before.moves(self.step.trained))


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
