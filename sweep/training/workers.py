"""One or several workers: which one this is, the model each phase runs, and metrics averaged over all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sweep.training.parts import PARTS, unwrapped


def rank() -> int:
    """Number of this worker, 0 when it is alone."""
    return distributed.get_rank() if _together() else 0


def world_size() -> int:
    """How many workers train this model."""
    return distributed.get_world_size() if _together() else 1


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def shared_by_all(model: nn.Module, device: str) -> nn.Module:
    """The module to train: wrapped for gradient averaging when there are several workers, itself when there is one."""
    if world_size() == 1:
        return model
    model.to(device)
    return DistributedDataParallel(model, device_ids=[torch.device(device)] if device.startswith("cuda") else None)


def agreed(yes: bool) -> bool:
    """Whether the condition holds on every worker; a collective call with the same result on all."""
    return mean_over_workers({"yes": float(yes)})["yes"] == 1.0 if world_size() > 1 else yes


def wrapped_for(model: nn.Module, parts: Iterable[str]) -> nn.Module:
    """The module to call in a phase that trains `parts`.

    A wrapper waits for the gradient of every weight that could train when it was made, so a phase with frozen parts needs one
    of its own.
    """
    if not isinstance(model, DistributedDataParallel) or set(parts) == set(PARTS):
        return model
    return DistributedDataParallel(model.module, device_ids=model.device_ids)


def share_buffers(model: nn.Module, more: Iterable[torch.Tensor] = ()) -> None:
    """Give every worker the first one's batch-norm statistics and `more`, so that all of them validate the same model."""
    if isinstance(model, DistributedDataParallel):
        for buffer in (*unwrapped(model).buffers(), *more):
            distributed.broadcast(buffer, src=0)


def average_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Replace each weight's gradient by its mean over all workers: for weights that no wrapper does it for."""
    if world_size() == 1:
        return
    for weight in weights:
        if weight.grad is not None:  # a weight without gradient has none on any worker
            distributed.all_reduce(weight.grad)
            weight.grad /= world_size()


def mean_over_workers(metrics: Mapping[str, float]) -> dict[str, float]:
    """Each metric averaged over all workers; the same dictionary when there is one."""
    if world_size() == 1:
        return dict(metrics)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    values = torch.tensor(list(metrics.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(values)
    return dict(zip(metrics, (values / distributed.get_world_size()).tolist(), strict=True))
