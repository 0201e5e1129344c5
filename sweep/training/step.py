"""One optimisation step on uint8 images and labels; returns the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sweep.training.augment import AUGMENTATIONS, augment
from sweep.training.dual_norms import DualNorms
from sweep.training.ema import AveragedWeights
from sweep.training.objective import Objective, Target
from sweep.training.parts import colorizer_of
from sweep.training.precision import autocast
from sweep.training.recipe import Recipe
from sweep.training.workers import average_gradients

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
    dual_norms: DualNorms | None = None
    average: AveragedWeights | None = None  # follows the weights after every update
    carried: torch.Tensor | None = None  # free training's perturbation, from batch to batch

    def __post_init__(self) -> None:
        self.trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        inside = {id(weight) for weight in self.model.parameters()}
        self.outside = [
            weight for weight in self.trained if id(weight) not in inside
        ]  # a wrapper for several workers does not know them
        self.augmentation = AUGMENTATIONS[self.recipe.augment]
        self._colorized: torch.Tensor | None = None
        if self.texture_loss is not None:
            # The colours are captured in the forward pass: a second one would update batch norm twice.
            self._hook = colorizer_of(self.model).register_forward_hook(self._catch)

    def begin_epoch(self) -> None:
        """Called before the first batch of an epoch."""

    @property
    def replays(self) -> int:
        """Updates on each batch."""
        return 1

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> Sequence[torch.Tensor]:
        """Update the weights on uint8 images [N, H, W] and return the detached loss of each update, still on the device."""
        inputs = augment(to_unit_range(images, self.device), self.augmentation, generator)
        target = Target(self.objective, torch.as_tensor(labels).to(self.device, non_blocking=True))
        if self.recipe.mixup:
            inputs, target = mix(inputs, target, self.recipe.mixup, generator)
        return self.update(inputs, target, generator)

    def update(self, inputs: torch.Tensor, target: Target, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """One gradient step on float images [N, 1, H, W]; the loss of each update that was made."""
        return [self.descend(lambda: self.loss(inputs, target.loss))]

    def descend(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        """One optimiser step on the loss that `closure` computes."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = closure()
        loss.backward()
        average_gradients(self.outside)
        if self.recipe.grad_clip:
            nn.utils.clip_grad_norm_(self.trained, self.recipe.grad_clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
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
        assert colorized is not None  # the hook has seen the forward pass
        return (1 - share) * loss + share * self.texture_loss(colorized.float(), inputs)

    @property
    def attacked_model(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The model that the attack of the training step differentiates."""
        return self.model if self.dual_norms is None else self.dual_norms

    def close(self) -> None:
        """Remove the hook from the model."""
        if self.texture_loss is not None:
            self._hook.remove()

    def _catch(self, _module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        self._colorized = output


def mix(inputs: torch.Tensor, target: Target, alpha: float, generator: torch.Generator) -> tuple[torch.Tensor, Target]:
    """Blend each image and its label with another of the batch (mixup, Zhang et al. 2018), in a share from Beta(alpha, alpha)."""
    share = _beta(alpha, generator)
    partner = torch.randperm(len(inputs), generator=generator, device=inputs.device)
    return inputs.lerp(inputs[partner], 1 - share), Target(
        target.objective, target.labels, target.labels[partner], share
    )


def to_unit_range(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 [N, H, W] -> float32 [N, 1, H, W] in [0, 1] on `device`; the bytes are transferred, then converted."""
    return torch.as_tensor(images).to(device, non_blocking=True).unsqueeze(1).float().div_(255)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw of Beta(alpha, alpha), seeded from `generator`: torch draws gammas from its global stream only."""
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
