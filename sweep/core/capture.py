"""Work recorded once and replayed: CUDA graphs, which take a whole step of training or of an attack in one launch.

A recording repeats kernels, not Python: numbers that Python computes at each step (a learning rate, a decay, a counter) must be
tensors on the device, and nothing inside may wait for the device. torch.cuda.graphs documents the constraints.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from sweep.core.errors import first_line

Replay = Callable[[], None]


class Recorder(Protocol):
    """Records work on fixed tensors; replaying does it again on what these tensors then hold."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Run `work` once where it may allocate and choose kernels, before it is recorded."""
        ...

    def record(self, work: Callable[[], None], generators: Sequence[torch.Generator] = ()) -> Replay:
        """Record `work` without running it; each replay draws on from `generators` and the device's default one."""
        ...


class CudaGraphs:
    """Records on `device`'s own stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream: torch.cuda.Stream | None = None

    def warm_up(self, work: Callable[[], None]) -> None:
        """On a side stream, as capture needs it."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream(self.device).wait_stream(self._stream)

    def record(self, work: Callable[[], None], generators: Sequence[torch.Generator] = ()) -> Replay:
        """A CUDA graph. Raises RuntimeError where the work cannot be captured."""
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        # Threads that prepare data may call CUDA meanwhile.
        with torch.cuda.device(self.device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
        replay: Replay = graph.replay
        return replay


def recorder_for(device: torch.device) -> Recorder | None:
    """CUDA graphs on a GPU; None elsewhere."""
    return CudaGraphs(device) if device.type == "cuda" else None


CHECKED_STEPS = 3  # a frozen learning rate or counter shows from the second step on


class RandomStream(Protocol):
    """What a random generator, or several under one name, can do for a check of a recording."""

    def get_state(self) -> Any:
        """The state to go back to."""
        ...

    def set_state(self, state: Any, /) -> Any:
        """Go back to `state`."""
        ...


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted difference of a loss (absolute plus relative), and of how tensors moved, as a share of the way."""

    losses: float
    moves: float


# Replays run the kernels of the direct step; where a library picks others, float32 rounding grows by about ten a step, bfloat16 rounding
# starts at 1/256. Moves: Adam turns rounding of a gradient near zero into a whole step of that one weight.
TOLERANCE = {"fp32": Tolerance(1e-3, 0.05), "bf16": Tolerance(1e-2, 0.2)}


class Saved:
    """Tensors, optimisers and random streams as they were, copied on their device; `restore` puts them back in place, so recordings stay valid."""

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        optimizers: Sequence[torch.optim.Optimizer],
        stream: RandomStream,
        device: torch.device,
    ) -> None:
        self._optimizers, self._stream, self._device = optimizers, stream, device
        self._tensors = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._entries = [
            {
                parameter: {name: _copied(value) for name, value in entry.items()}
                for parameter, entry in one.state.items()
            }
            for one in optimizers
        ]
        self._draws = (stream.get_state(), torch.get_rng_state(), _cuda_draws(device))

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back. State that an optimiser has made since becomes zero, with which it begins; gradients are dropped."""
        for tensor, value in self._tensors:
            tensor.copy_(value)
        for optimizer, entries in zip(self._optimizers, self._entries, strict=True):
            for parameter, entry in optimizer.state.items():
                known = entries.get(parameter, {})
                for name, value in entry.items():
                    if isinstance(value, torch.Tensor):
                        value.copy_(known[name]) if name in known else value.zero_()
            optimizer.zero_grad(set_to_none=True)
        draws, host, cuda = self._draws
        self._stream.set_state(draws)
        torch.set_rng_state(host)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self._device)

    def now(self) -> list[torch.Tensor]:
        """Copies of the tensors as they are now."""
        return [tensor.detach().clone() for tensor, _ in self._tensors]

    @torch.no_grad()
    def moves(self, since: Sequence[torch.Tensor], trained: Sequence[torch.Tensor]) -> Moves:
        """Change of each `trained` tensor, and of each other floating one, since an earlier `now`."""
        own = {id(tensor) for tensor in trained}
        pairs = zip(self._tensors, since, strict=True)
        moved = [(id(one) in own, one.detach() - was) for (one, _), was in pairs if one.is_floating_point()]
        return [move for mine, move in moved if mine], [move for mine, move in moved if not mine]


Moves = tuple[list[torch.Tensor], list[torch.Tensor]]


@dataclass(frozen=True)
class Trace:
    """Losses of some steps, and how far they moved the trained weights and the other state (statistics, averages)."""

    losses: list[float]
    moves: Moves


def difference(direct: Trace, replayed: Trace, tolerance: Tolerance) -> str | None:
    """How replayed steps differ from direct ones; None where they agree."""
    for number, (first, second) in enumerate(zip(direct.losses, replayed.losses, strict=True), start=1):
        if not _agree(first, second, tolerance.losses):
            return f"loss {number} of its check is {second:.6g} where the direct step's is {first:.6g}"
    for what, first_moves, second_moves in zip(("weights", "statistics"), direct.moves, replayed.moves, strict=True):
        whole = _length(first_moves)
        apart = _length([a - b for a, b in zip(first_moves, second_moves, strict=True)])
        if math.isfinite(whole) and apart > tolerance.moves * whole:
            return f"in its check the {what} moved otherwise than by direct steps, by {apart / max(whole, 1e-30):.1g} of the way"
    return None


def _agree(first: float, second: float, tolerance: float) -> bool:
    if math.isfinite(first) and math.isfinite(second):
        return abs(first - second) <= tolerance * (1 + abs(first))
    return first == second or (math.isnan(first) and math.isnan(second))  # a divergence is for the training to report


def _length(parts: list[torch.Tensor]) -> float:
    return float(torch.stack([part.float().norm() for part in parts]).norm()) if parts else 0.0


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _cuda_draws(device: torch.device) -> torch.Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@dataclass
class Recordable:
    """One step on fixed tensors, and what the check of its recording needs.

    `run` does the step and returns its losses; `before` is the state to go back to, `trained` those of its tensors that an optimiser moves,
    `generators` those that the step draws from. `vary` is called with the number of each checked step, to change what changes in training.
    """

    run: Callable[[], Sequence[torch.Tensor]]
    before: Saved
    trained: Sequence[torch.Tensor]
    tolerance: Tolerance
    generators: Sequence[torch.Generator] = ()
    vary: Callable[[int], object] | None = None


def record_checked(step: Recordable, recorder: Recorder) -> tuple[Replay, list[torch.Tensor]] | str:
    """The replay and the losses that it writes, or why there is none.

    CHECKED_STEPS steps run directly and the same steps as replays, from the same state; their losses and the tensors they lead to must
    agree. Weights, optimisers and random streams are put back, so recording changes no result.
    """
    losses: list[torch.Tensor] = []

    def work() -> None:
        losses[:] = step.run()

    def checked(run: Callable[[], None]) -> Trace:
        step.before.restore()
        found: list[torch.Tensor] = []
        for number in range(1, CHECKED_STEPS + 1):
            if step.vary is not None:
                step.vary(number)
            run()
            found += [loss.clone() for loss in losses]
            if number == 1:  # the first step may do once what hides the others, as clipping of initial weights does
                settled = step.before.now()
        return Trace(torch.stack(found).flatten().tolist(), step.before.moves(settled, step.trained))

    try:
        direct = checked(lambda: recorder.warm_up(work))
        step.before.restore()
        replay = recorder.record(work, step.generators)
        problem = difference(direct, checked(replay), step.tolerance)
    except RuntimeError as error:  # what CUDA refuses to capture, and what does not fit into memory twice
        problem = f"capture failed ({first_line(error)})"
    finally:
        step.before.restore()
    return (replay, losses) if problem is None else problem


class RecordedStep:
    """`step` on batches of one shape: recorded with the first one, replayed on all; direct, with a warning, where the check finds a difference.

    `recordable` makes the Recordable of a step that has its inputs. Without a recorder, and for other shapes, every step is direct.
    """

    def __init__(
        self,
        step: Callable[..., Sequence[torch.Tensor]],
        recordable: Callable[[Callable[[], Sequence[torch.Tensor]]], Recordable],
        recorder: Recorder | None,
        what: str,
    ) -> None:
        self._step, self._recordable, self._recorder, self._what = step, recordable, recorder, what
        self._inputs: list[torch.Tensor] = []
        self._replay: Replay | None = None
        self._losses: list[torch.Tensor] = []

    def __call__(self, *inputs: torch.Tensor) -> Sequence[torch.Tensor]:
        """The losses of one step."""
        if self._recorder is not None and self._replay is None:
            self._record(inputs, self._recorder)
        if self._replay is None or [one.shape for one in inputs] != [one.shape for one in self._inputs]:
            return self._step(*inputs)
        for fixed, value in zip(self._inputs, inputs, strict=True):
            fixed.copy_(value, non_blocking=True)
        self._replay()
        return [loss.clone() for loss in self._losses]

    def _record(self, inputs: Sequence[torch.Tensor], recorder: Recorder) -> None:
        self._inputs = [value.clone() for value in inputs]
        found = record_checked(self._recordable(lambda: self._step(*self._inputs)), recorder)
        if isinstance(found, str):
            self._recorder, self._inputs = None, []
            warnings.warn(f"{self._what} run without a CUDA graph: {found}", RuntimeWarning, stacklevel=3)
        else:
            self._replay, self._losses = found
