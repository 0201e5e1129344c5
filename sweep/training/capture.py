"""Work recorded once and replayed: CUDA graphs, which take a whole training step in one launch.

A recording repeats kernels, not Python: numbers that Python computes at each step (a learning rate, a decay, a counter) must be
tensors on the device, and nothing inside may wait for the device. torch.cuda.graphs documents the constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

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


def first_line(error: RuntimeError) -> str:
    """What a failed capture says, without the pages of advice that CUDA errors carry."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
