"""One optimisation step: uint8 images and labels in, changed weights and the loss out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from sweep.training.augment import AUGMENTATIONS, augment
from sweep.training.objective import Objective
from sweep.training.parts import unwrapped
from sweep.training.precision import autocast
from sweep.training.recipe import Recipe

TextureLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LogitLoss = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Step:
    """A training step of one phase; call it with a batch.

    `forward` is the model as it runs (compiled, or wrapped for several workers); `texture_loss` is None when it has no weight.
    """

    forward: nn.Module | Callable[[torch.Tensor], torch.Tensor]
    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    recipe: Recipe
    device: torch.device
    texture_loss: TextureLoss | None = None

    def __post_init__(self) -> None:
        self.trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        self.augmentation = AUGMENTATIONS[self.recipe.augment]
        self._colorized: torch.Tensor | None = None
        if self.texture_loss is not None:
            # The colours are caught on their way to the backbone: a second pass would measure batch norm twice.
            self._hook = unwrapped(self.model).colorizer.register_forward_hook(self._catch)

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Update the weights on uint8 images [N, H, W] and return the detached loss, still on the device."""
        inputs = to_unit_range(images, self.device)
        inputs = augment(inputs, self.augmentation, generator)
        inputs, logit_loss = self._mixed(inputs, torch.as_tensor(labels).to(self.device, non_blocking=True), generator)
        return self.update(inputs, logit_loss)

    def update(self, inputs: torch.Tensor, logit_loss: LogitLoss) -> torch.Tensor:
        """One gradient step on float images [N, 1, H, W]."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(inputs, logit_loss)
        loss.backward()
        self.apply_gradients()
        return loss.detach()

    def loss(self, inputs: torch.Tensor, logit_loss: LogitLoss) -> torch.Tensor:
        """Classification loss, mixed with the texture loss by glcm_weight."""
        with autocast(self.device, self.recipe.precision):
            logits = self.forward(inputs)
        loss = logit_loss(logits)
        if self.texture_loss is None:
            return loss
        share, colorized = self.recipe.glcm_weight, self._colorized
        self._colorized = None
        return (1 - share) * loss + share * self.texture_loss(colorized.float(), inputs)

    def apply_gradients(self) -> None:
        """Clip the gradients and let the optimiser move the weights."""
        if self.recipe.grad_clip:
            nn.utils.clip_grad_norm_(self.trained, self.recipe.grad_clip)
        self.optimizer.step()

    def close(self) -> None:
        """Take the hook off the model again."""
        if self.texture_loss is not None:
            self._hook.remove()

    def _catch(self, _module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        self._colorized = output

    def _mixed(self, inputs: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, LogitLoss]:
        if not self.recipe.mixup:
            return inputs, lambda logits: self.objective(logits, labels)
        share = _beta(self.recipe.mixup, generator)
        partner = torch.randperm(len(inputs), generator=generator, device=self.device)
        mixed = inputs.lerp(inputs[partner], 1 - share)
        return mixed, lambda logits: (
            share * self.objective(logits, labels) + (1 - share) * self.objective(logits, labels[partner])
        )


def to_unit_range(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 [N, H, W] -> float32 [N, 1, H, W] in [0, 1] on `device`; bytes travel, floats do not."""
    return torch.as_tensor(images).to(device, non_blocking=True).unsqueeze(1).float().div_(255)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw of Beta(alpha, alpha) from `generator`, as a ratio of two gamma draws."""
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    draws = torch._standard_gamma(torch.full((2,), alpha), generator=torch.Generator().manual_seed(seed))
    return float(draws[0] / draws.sum().clamp(min=1e-30))
