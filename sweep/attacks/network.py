"""The attacked model: parameters frozen, eval mode, every pass counted, the caller's state restored afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError

Model = nn.Module | Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Passes:
    """Samples computed: `forward` alone, `gradient` with the input gradient, `verdict` re-checks of a copy's predictions."""

    forward: int = 0
    gradient: int = 0
    verdict: int = 0

    def __sub__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def __add__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def copy(self) -> Passes:
        return self + Passes()


class Gradient(NamedTuple):
    """Logits [n, K], loss [n], input gradient [n, C, H, W] and whether each image's gradient was finite, bool [n].

    Non-finite entries of the gradient are zero, so that one NaN pixel does not stop the attack at the other pixels;
    `finite` is False for those images, which the alarms report.
    """

    logits: Tensor
    loss: Tensor
    gradient: Tensor
    finite: Tensor


class Network:
    """Plain passes through `model`; `passes` counts samples, `exact` says whether `gradient` is computed by the model itself."""

    exact = True
    verifies = False  # whether `search_gradient` comes from a copy, whose doubtful predictions the model must verify

    def __init__(self, model: Model) -> None:
        self.model = model
        self.passes = Passes()

    def search_gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> Gradient:
        """As `gradient`, uncounted and without verification: its work has the same shape for every input, so it can be recorded."""
        return gradient_of(self.model, images, labels, loss)

    def doubtful(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Which predictions [n] of `search_gradient` the model must verify, bool."""
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, K] without a graph."""
        self.passes.forward += len(images)
        with torch.no_grad():
            return self.model(images)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> Gradient:
        """Logits, loss per image and the gradient of the summed loss with respect to the images.

        The sum, not the mean, so that an image's gradient does not depend on the batch it is in.
        """
        return self.exact_gradient(images, labels, loss)

    def exact_gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> Gradient:
        """As `gradient`, always by the model itself: for the clean prediction and for points on the decision boundary."""
        self.passes.gradient += len(images)
        return gradient_of(self.model, images, labels, loss)


def gradient_of(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, loss: Loss) -> Gradient:
    """Logits, loss per image and input gradient of the summed loss, also when called under no_grad or inference_mode.

    The gradient is zero where the model cuts the graph (its output does not require a gradient). InputError when the model
    uses tensors created under `torch.inference_mode`, through which nothing can be differentiated.
    """
    with torch.inference_mode(False), torch.enable_grad():
        images, labels = normal_tensor(images).detach().requires_grad_(), normal_tensor(labels)
        try:
            logits = model(images)
            values = loss(logits, labels)
            if values.requires_grad:
                (gradient,) = torch.autograd.grad(values.sum(), images, allow_unused=True)
            else:
                gradient = None
        except RuntimeError as error:
            if "nference tensor" not in str(error):
                raise
            raise _inference_model() from error
    if gradient is None:
        gradient = torch.zeros_like(images)
    gradient, finite = finite_entries(gradient.detach())
    return Gradient(logits.detach(), values.detach(), gradient, finite)


def finite_entries(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """`gradient` [n, ...] with NaN and infinite entries set to zero, and bool [n]: no such entry in the image."""
    usable = torch.isfinite(gradient)
    return torch.where(usable, gradient, 0.0), usable.flatten(1).all(dim=1)


def normal_tensor(tensor: Tensor) -> Tensor:
    """`tensor`, copied if it was created under `torch.inference_mode` and therefore cannot take part in autograd."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


@contextmanager
def frozen(model: Model) -> Iterator[None]:
    """Eval mode, no parameter gradients and no inference mode inside the block; everything restored after it.

    InputError when the model's parameters or buffers were created under `torch.inference_mode`.
    """
    with torch.inference_mode(False):
        if not isinstance(model, nn.Module):
            yield
            return
        if any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers())):
            raise _inference_model()
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
    """Device of the model's first parameter or buffer; the CPU when it has none."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return torch.device("cpu")


def _inference_model() -> InputError:
    return InputError(
        "model",
        "it holds tensors created under torch.inference_mode(), which have no gradient, so no attack could see it",
        "build or load the model outside torch.inference_mode(), or pass copy.deepcopy(model) made outside it",
    )
