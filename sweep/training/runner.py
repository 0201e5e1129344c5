"""How a training step is run: directly, or as a recording that is replayed, checked against the direct way before it is trusted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from sweep.core.errors import Diverged
from sweep.training.capture import Recorder, Replay, first_line
from sweep.training.dual_norms import DualNorms
from sweep.training.ema import AveragedWeights
from sweep.training.optimizer import scale_lr, write_lr
from sweep.training.precision import resolved_precision
from sweep.training.recipe import Recipe

CHECKED_STEPS = (
    3  # a wrong recording shows from the second step on: the first has the learning rate and counters of the capture
)
# Largest accepted difference of a loss, absolute plus relative. Replays run the kernels of the direct step; where a library picks
# others, float32 rounding grows by about ten a step, bfloat16 rounding starts at 1/256.
TOLERANCE = {"fp32": 1e-3, "bf16": 1e-2}
# ... and of how the weights moved, as a share: Adam turns rounding of a gradient near zero into a whole step of that one weight.
TOLERANCE_OF_MOVES = {"fp32": 0.05, "bf16": 0.2}


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
            problem = difference(direct, replayed, resolved_precision(device, self.step.recipe.precision))
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
        return Trace(torch.stack(losses).flatten().tolist(), before.moves())


@dataclass(frozen=True)
class Trace:
    """Losses of some steps, and how far they moved the trained weights and the other state (statistics, averages)."""

    losses: list[float]
    moves: tuple[list[torch.Tensor], list[torch.Tensor]]


class StepState:
    """Everything that a step changes, copied on its device: `restore` puts it back in place, so recordings stay valid."""

    def __init__(self, step: RecordableStep, generator: Any) -> None:
        self.step, self.generator = step, generator
        self._tensors = [(tensor, tensor.detach().clone()) for tensor in _tensors(step)]
        self._optimizer = {
            parameter: {name: _copied(value) for name, value in entry.items()}
            for parameter, entry in step.optimizer.state.items()
        }
        self._lr = [_copied(group["lr"]) for group in step.optimizer.param_groups]
        self._steps_averaged = None if step.average is None else step.average.steps
        self._draws = (generator.get_state(), torch.get_rng_state(), _cuda_draws(step.device))

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back. State that the optimiser has made since becomes zero, with which it begins."""
        for tensor, value in self._tensors:
            tensor.copy_(value)
        for parameter, entry in self.step.optimizer.state.items():
            known = self._optimizer.get(parameter, {})
            for name, value in entry.items():
                if isinstance(value, torch.Tensor):
                    value.copy_(known[name]) if name in known else value.zero_()
        for group, lr in zip(self.step.optimizer.param_groups, self._lr, strict=True):
            write_lr(group, lr)
        if self.step.average is not None and self._steps_averaged is not None:
            self.step.average.steps = self._steps_averaged
        self.step.optimizer.zero_grad(set_to_none=True)
        draws, host, cuda = self._draws
        self.generator.set_state(draws)
        torch.set_rng_state(host)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self.step.device)

    @torch.no_grad()
    def moves(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Change of each trained weight, and of each other floating tensor, since this state was taken."""
        trained = {id(weight) for weight in self.step.trained}
        moved = [(id(now) in trained, now.detach() - was) for now, was in self._tensors if now.is_floating_point()]
        return [move for own, move in moved if own], [move for own, move in moved if not own]


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


def difference(direct: Trace, replayed: Trace, precision: str) -> str | None:
    """How the replayed steps differ from the direct ones; None where they agree."""
    tolerance = TOLERANCE[precision]
    for number, (first, second) in enumerate(zip(direct.losses, replayed.losses, strict=True), start=1):
        if not _agree(first, second, tolerance):
            return f"loss {number} of its check is {second:.6g} where the direct step's is {first:.6g}"
    for what, first_moves, second_moves in zip(("weights", "statistics"), direct.moves, replayed.moves, strict=True):
        whole = _length(first_moves)
        apart = _length([a - b for a, b in zip(first_moves, second_moves, strict=True)])
        if math.isfinite(whole) and apart > TOLERANCE_OF_MOVES[precision] * whole:
            return f"in its check the {what} moved otherwise than by direct steps, by {apart / max(whole, 1e-30):.1g} of the way"
    return None


def _agree(first: float, second: float, tolerance: float) -> bool:
    if math.isfinite(first) and math.isfinite(second):
        return abs(first - second) <= tolerance * (1 + abs(first))
    return first == second or (math.isnan(first) and math.isnan(second))  # a divergence is for the training to report


def _length(parts: list[torch.Tensor]) -> float:
    return float(torch.stack([part.float().norm() for part in parts]).norm()) if parts else 0.0


def _tensors(step: RecordableStep) -> list[torch.Tensor]:
    found = list(step.model.state_dict(keep_vars=True).values())
    if step.dual_norms is not None:
        found += step.dual_norms.tensors.values()
    if step.average is not None:
        found += step.average.tensors()
    return found


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _cuda_draws(device: torch.device) -> torch.Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None
