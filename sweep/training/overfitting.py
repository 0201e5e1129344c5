"""Catastrophic overfitting of single-step adversarial training: the model withstands the one step and nothing else (Wong et al. 2020, section 5).

After each epoch a few validation images are attacked by one full step (FGSM) and by a short PGD, both at the budget of training. Overfitting is
detected where PGD leaves no more than half of the accuracy that it left after an earlier epoch of the same phase, while many images that withstand
the single step fall to PGD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from sweep.core.metric_table import SOURCE_VAL, TRAINING_ROBUSTNESS, metric_name
from sweep.core.seeds import named_seed
from sweep.evaluation.evaluate import eval_mode
from sweep.evaluation.metrics import all_correct
from sweep.training.adversarial import noise, perturb
from sweep.training.objective import Objective
from sweep.training.recipe import SINGLE_STEP, Recipe

PGD_STEPS = 5
SINGLE = metric_name(TRAINING_ROBUSTNESS, SOURCE_VAL, "fgsm")
SEVERAL = metric_name(TRAINING_ROBUSTNESS, SOURCE_VAL, f"pgd{PGD_STEPS}")
_IMAGES = 32  # as many gradients an epoch as a few batches of training take
_LEAST_GAP = 0.25  # of the images: withstand the single step, fall to PGD; eight of 32 are no chance
_MOST_LEFT = 0.5  # of PGD's best earlier accuracy
_STRIDE = 2.5  # of eps / steps


class OverfittingWatch:
    """Accuracy of a model in training under FGSM and a short PGD; the same images and starts in every call, and no draw from the training's generators."""

    def __init__(self, val: tuple[np.ndarray, np.ndarray], recipe: Recipe, device: torch.device, seed: int) -> None:
        images, labels = val
        known = np.flatnonzero(~np.isnan(labels).all(1)) if labels.ndim == 2 else np.arange(len(labels))
        chosen = known[np.unique(np.linspace(0, len(known) - 1, min(_IMAGES, len(known))).round().astype(int))]
        pixels = torch.from_numpy(np.ascontiguousarray(images[chosen])).to(device)
        self.images, self.labels = pixels.unsqueeze(1).float().div_(255), labels[chosen]
        self.eps = recipe.train_eps
        draws = torch.Generator().manual_seed(named_seed(seed, "overfitting"))
        self.start = self.images + noise(self.images.cpu(), self.eps, draws).to(device)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The two accuracies, by the names SINGLE and SEVERAL; computed in float32 and eval mode."""
        objective, truth = Objective(), torch.as_tensor(self.labels).to(self.images.device)
        stride = _STRIDE * self.eps / PGD_STEPS
        with eval_mode(model):

            def accuracy(start: torch.Tensor, stride: float, steps: int) -> float:
                attacked = perturb(
                    self.images, lambda x: objective(model(x), truth), start, eps=self.eps, stride=stride, steps=steps
                )
                with torch.no_grad():
                    logits = model(attacked).float().cpu().numpy()
                return float(all_correct(logits, self.labels).mean())

            return {SINGLE: accuracy(self.images, self.eps, 1), SEVERAL: accuracy(self.start, stride, PGD_STEPS)}


def watch_for(
    val: tuple[np.ndarray, np.ndarray], recipe: Recipe, device: torch.device, seed: int
) -> OverfittingWatch | None:
    """The watch of a training by single steps; None for others, in which no overfitting of this kind is known."""
    single = recipe.train_eps > 0 and recipe.train_attack in SINGLE_STEP
    return OverfittingWatch(val, recipe, device, seed) if single else None


def overfitted(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether the last epoch of `history` overfits its single-step attack; epochs of one phase are compared."""
    last = history[-1]
    if SEVERAL not in last:
        return False
    before = [epoch[SEVERAL] for epoch in history[:-1] if epoch["phase"] == last["phase"]]
    if not before or max(before) == 0:
        return False
    return last[SINGLE] - last[SEVERAL] >= _LEAST_GAP and last[SEVERAL] <= _MOST_LEFT * max(before)


def first_overfitting(history: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The first epoch that overfits its single-step attack, as {epoch, fgsm, pgd}; None where none does."""
    return next(_found(history), None)


def _found(history: Sequence[Mapping[str, float]]) -> Iterator[Mapping[str, float]]:
    for count in range(1, len(history) + 1):
        if overfitted(history[:count]):
            last = history[count - 1]
            yield {"epoch": last["epoch"], "fgsm": last[SINGLE], "pgd": last[SEVERAL]}
