"""The model as the attacks see it: frozen, in eval mode, every pass counted, put back as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

Model = nn.Module | Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Passes:
    """Work done, in samples: `forward` alone, `gradient` with its input gradient, `verdict` = re-check where a copy searches."""

    forward: int = 0
    gradient: int = 0
    verdict: int = 0

    def __sub__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def __add__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def copy(self) -> Passes:
        return self + Passes()


class Network:
    """Plain passes through `model`; `passes` counts samples, `exact` says whether `gradient` is the model's own."""

    exact = True

    def __init__(self, model: Model) -> None:
        self.model = model
        self.passes = Passes()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, K] without a graph."""
        self.passes.forward += len(images)
        with torch.no_grad():
            return self.model(images)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [n, K], loss per image [n] and the gradient of its sum with respect to the images.

        The sum, not the mean: an image's gradient must not depend on who shares its batch.
        """
        return self.exact_gradient(images, labels, loss)

    def exact_gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """As `gradient`, by the model itself whatever the mode: for the clean prediction, and for points on the border."""
        self.passes.gradient += len(images)
        return gradient_of(self.model, images, labels, loss)


def gradient_of(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, loss per image and input gradient of the loss's sum; zero where the model cuts the graph."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        logits = model(images)
        values = loss(logits, labels)
        if not values.requires_grad:  # the model cuts the graph: no direction is known
            return logits.detach(), values.detach(), torch.zeros_like(images)
        (gradient,) = torch.autograd.grad(values.sum(), images, allow_unused=True)
    gradient = torch.zeros_like(images) if gradient is None else gradient
    return logits.detach(), values.detach(), gradient


@contextmanager
def frozen(model: Model) -> Iterator[None]:
    """Eval mode and no parameter gradients inside the block; every module's mode and every flag restored after it."""
    if not isinstance(model, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def device_of(model: Model) -> torch.device:
    """Where the model's first parameter or buffer lives; the CPU when it has none."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return torch.device("cpu")
