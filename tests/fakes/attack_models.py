"""Small networks and images on which attacks take milliseconds, and networks that hide their gradient in known ways."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

PX = 12


def lit_halves(count: int, seed: int = 0, strength: float = 0.03) -> tuple[Tensor, Tensor]:
    """Noisy grey images [N, 1, 12, 12], brighter on the left (1) or on the right (0) by a random amount up to `strength`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    images = 0.5 + 0.05 * torch.randn(count, 1, PX, PX, generator=generator)
    gain = strength * (0.1 + 0.9 * torch.rand(count, 1, 1, 1, generator=generator))
    side = torch.where(torch.arange(PX) < PX // 2, 1.0, -1.0) * (2 * labels.view(-1, 1, 1, 1) - 1)
    return (images + gain * side).clamp(0, 1), labels


def small_cnn(classes: int = 2) -> nn.Module:
    """Two convolutions with batch norm, random weights."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, classes),
    )


def trained_cnn(seed: int = 0, steps: int = 60, train_eps: float = 0.0) -> nn.Module:
    """`small_cnn` fitted to `lit_halves`, in eval mode; with `train_eps` on one-step adversarial images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = small_cnn()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    images, labels = lit_halves(96, seed=seed + 1000)
    for _ in range(steps):
        batch = images.clone().requires_grad_()
        if train_eps:
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(batch), labels), batch)
            batch = (images + train_eps * gradient.sign()).clamp(0, 1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch.detach()), labels).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval()


def lit_thirds(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy grey images [N, 1, 12, 12] of which the left (0), middle (1) or right (2) third is brighter by 0.06."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = 0.5 + 0.05 * torch.randn(count, 1, PX, PX, generator=generator)
    third = torch.arange(PX) // (PX // 3)
    return (images + 0.06 * (third == labels.view(-1, 1, 1, 1))).clamp(0, 1), labels


def trained_on_thirds() -> nn.Module:
    """`small_cnn` with three logits fitted to `lit_thirds`, in eval mode: softmax and single signs both tell the classes apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small_cnn(3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    images, labels = lit_thirds(96, seed=1000)
    for _ in range(60):
        optimizer.zero_grad()
        logits = model(images)
        findings = nn.functional.one_hot(labels, 3).float()
        loss = nn.functional.cross_entropy(logits, labels)
        (loss + nn.functional.binary_cross_entropy_with_logits(logits, findings)).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval()


class Counted(nn.Module):
    """A model that counts the samples that it and its copies were shown, apart from anyone else's bookkeeping."""

    def __init__(self, model: nn.Module, seen: list[int] | None = None) -> None:
        super().__init__()
        self.model, self.seen = model, [] if seen is None else seen

    @property
    def samples(self) -> int:
        return sum(self.seen)

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return self.model(images)

    def __deepcopy__(self, memo: dict) -> Counted:
        return Counted(copy.deepcopy(self.model, memo), self.seen)


class _Quantised(torch.autograd.Function):
    """Eight grey levels; the honest derivative of a staircase is zero."""

    @staticmethod
    def forward(ctx, images):
        return (images * 8).round() / 8

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


class _Misleading(torch.autograd.Function):
    """The identity, with the derivative of its mirror image."""

    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Before(nn.Module):
    """`model` after a change of its input."""

    def __init__(self, model: nn.Module, change) -> None:
        super().__init__()
        self.model, self.change = model, change

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.change(images))


class After(nn.Module):
    """`model` with a change of its logits."""

    def __init__(self, model: nn.Module, change) -> None:
        super().__init__()
        self.model, self.change = model, change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.model(images))


class Colorized(nn.Module):
    """colorizer -> backbone (grey from the mean of the colours) -> logits, as the platform's classifier."""

    def __init__(self, colorizer: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self.colorizer, self.backbone = colorizer, backbone

    def colorize(self, images: Tensor) -> Tensor:
        return self.colorizer(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(self.colorize(images).mean(dim=1, keepdim=True))


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def masking_models() -> dict[str, nn.Module]:
    """Six ways to look robust without being so, each around the same trained network."""
    model = trained_cnn()
    return {
        "staircase input": Before(model, _Quantised.apply),
        "saturated logits": After(model, lambda logits: logits * 1e4),
        "shattered input": Before(model, lambda x: x + 0.01 * torch.sin(4000 * x)),
        "random input": Before(model, lambda x: x + 0.03 * torch.randn_like(x)),
        "sharp softmax": After(model, lambda logits: (logits * 50).softmax(dim=1)),
        "colorizer with a false gradient": Colorized(Lambda(lambda x: _Misleading.apply(x).repeat(1, 3, 1, 1)), model),
    }


def plain_models() -> dict[str, nn.Module]:
    """Six networks with nothing to hide, weak and robust ones."""
    return {
        "cnn": trained_cnn(),
        "cnn of another seed": trained_cnn(seed=1),
        "longer trained": trained_cnn(seed=2, steps=200),
        "adversarially trained": trained_cnn(seed=3, train_eps=4 / 255),
        "hardly trained": trained_cnn(seed=4, steps=12),
        "honest colorizer": Colorized(
            Lambda(lambda x: torch.cat([x, x * 0.9 + 0.1, x * 1.1], dim=1)), trained_cnn(seed=5)
        ),
    }
