"""Small networks and images on which attacks take milliseconds, and networks that hide their gradient in known ways."""

from __future__ import annotations

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
        nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(72, classes)
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
    return model.eval()


class Counted(nn.Module):
    """A model that counts the samples it was shown, apart from anyone else's bookkeeping."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.samples = model, 0

    def forward(self, images: Tensor) -> Tensor:
        self.samples += len(images)
        return self.model(images)
