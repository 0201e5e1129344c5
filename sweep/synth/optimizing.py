"""Optimisers and precision of generators' training steps, and the steps as something that can be recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from sweep.core.capture import TOLERANCE, Recordable, Saved
from sweep.core.torch_internals import eager


def adam(weights: Iterable[nn.Parameter], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
    """Fused; on a GPU with its step counts on the device, as a recorded step needs it."""
    listed = list(weights)
    optimizer = eager(torch.optim.Adam)(listed, lr, betas, fused=True, capturable=listed[0].is_cuda)
    # torch.optim would warn once that a capturable step runs uncaptured: the check of a recording does that on purpose.
    optimizer.__dict__["_warned_capturable_if_run_uncaptured"] = True
    return optimizer


def mixed_precision(device: torch.device, bf16: bool) -> torch.autocast:
    """bfloat16 for convolutions and products in training steps where `bf16` says so."""
    # A recorded step must cast the weights at every replay: a cached cast would keep those of the recording.
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16, cache_enabled=device.type != "cuda")


def recordable_of(
    run: Callable[[], Sequence[Tensor]], networks: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer],
    draws: torch.Generator, trained: Sequence[Tensor], bf16: bool,
) -> Recordable:  # fmt: skip
    """A step that changes these networks and optimisers and draws from `draws`."""
    tensors = [tensor for network in networks for tensor in network.state_dict(keep_vars=True).values()]
    before = Saved(tensors, optimizers, draws, tensors[0].device)
    return Recordable(run, before, trained, TOLERANCE["bf16" if bf16 else "fp32"], (draws,))
