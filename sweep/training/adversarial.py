"""Adversarial training: each step attacks its batch and trains on the result, on the one-channel image in [0, 1].

pgd: Madry et al. 2018. fgsm: one step from a random start: N-FGSM, de Jorge et al. 2022, or Wong et al. 2020, either with the gradient alignment of
Andriushchenko & Flammarion 2020. free: Shafahi et al. 2019. trades: Zhang et al. 2019.
Attacks run in eval mode, so that they do not update batch-norm statistics; except free, whose attack uses the gradient of
the update itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from sweep.evaluation.evaluate import eval_mode
from sweep.training.objective import Target
from sweep.training.precision import autocast
from sweep.training.recipe import Recipe
from sweep.training.step import Step

_FGSM_STRIDE = 1.25  # of eps: Wong et al. found longer steps collapse and shorter ones are weak
_NFGSM_NOISE = 2.0  # of eps: de Jorge et al. found no catastrophic overfitting from there on
_PGD_STRIDE = 2.5  # of eps / steps: enough to cross the ball and come back
_SHORTEST_GRADIENT = 1e-12  # below it cosines would divide by rounding
_TRADES_NOISE = 1e-3  # the divergence has no gradient at the clean image itself

Loss = Callable[[torch.Tensor], torch.Tensor]


class AdversarialStep(Step):
    """A training step on attacked images; `recipe.train_attack` names its row in TRAIN_ATTACKS."""

    def begin_epoch(self) -> None:
        """Forget the perturbation that free training carries from batch to batch."""
        self.carried = None

    @property
    def replays(self) -> int:
        """Updates on each batch; an epoch takes as many batches fewer, so every attack gets the same number of updates."""
        return self.recipe.train_attack_steps if self.recipe.train_attack == "free" else 1

    def update(self, inputs: torch.Tensor, target: Target, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """Attack the batch, then take one gradient step (several in free training)."""
        return TRAIN_ATTACKS[self.recipe.train_attack](self, inputs, target, generator)


def perturb(
    images: torch.Tensor, loss: Loss, start: torch.Tensor, *, eps: float, stride: float, steps: int
) -> torch.Tensor:
    """Images [N, 1, H, W] after `steps` signed gradient steps that raise `loss`, within `eps` of the clean ones and in [0, 1]."""
    attacked = _within(images, start, eps)
    for _ in range(steps):
        attacked.requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(attacked), attacked)
        attacked = _within(images, attacked.detach() + stride * slope.sign(), eps)
    return attacked


def _within(images: torch.Tensor, attacked: torch.Tensor, eps: float) -> torch.Tensor:
    return torch.clamp(torch.minimum(torch.maximum(attacked, images - eps), images + eps), 0.0, 1.0)


def noise(images: torch.Tensor, eps: float, generator: torch.Generator) -> torch.Tensor:
    """Uniform noise in [-eps, eps] of the shape of `images`."""
    return (torch.rand(images.shape, generator=generator, device=images.device) * 2 - 1) * eps


def _attack(
    step: Step, images: torch.Tensor, loss: Loss, start: torch.Tensor, stride: float, steps: int
) -> torch.Tensor:
    """Perturb against the model in eval mode, bypassing any wrapper, since wrappers expect a weight update."""
    recipe = step.recipe
    with eval_mode(step.model):
        return perturb(images, loss, start, eps=recipe.train_eps, stride=stride, steps=steps)


def _logits(step: Step, images: torch.Tensor) -> torch.Tensor:
    with autocast(step.device, step.recipe.precision):
        return step.attacked_model(images).float()


def _iterative(
    step: Step, images: torch.Tensor, target: Target, generator: torch.Generator, stride: float, steps: int
) -> Sequence[torch.Tensor]:
    start = images + noise(images, step.recipe.train_eps, generator)
    attacked = _attack(step, images, lambda x: target.loss(_logits(step, x)), start, stride, steps)
    return _learn(step, images, attacked, target, generator)


def _learn(
    step: Step, images: torch.Tensor, attacked: torch.Tensor, target: Target, generator: torch.Generator
) -> Sequence[torch.Tensor]:
    """One update on the attacked images; with dual norms on clean and attacked ones in equal parts; plus the alignment penalty where it has a weight."""
    elsewhere = images + noise(images, step.recipe.train_eps, generator) if step.recipe.grad_align else images

    def loss() -> torch.Tensor:
        if step.dual_norms is None:
            found = step.loss(attacked, target.loss)
        else:
            found = 0.5 * (step.loss(images, target.loss) + target.loss(_logits(step, attacked)))
        if not step.recipe.grad_align:
            return found
        with eval_mode(step.model):
            apart = misalignment(lambda x: target.loss(step.attacked_model(x).float()), images, elsewhere)
        return found + step.recipe.grad_align * apart

    return [step.descend(loss)]


def misalignment(loss: Loss, images: torch.Tensor, elsewhere: torch.Tensor) -> torch.Tensor:
    """1 - mean cosine of the input gradients of `loss` at `images` and `elsewhere` [N, 1, H, W]; differentiable (GradAlign, arXiv 2007.02617, eq. 9).

    Images without a gradient at either place are left out; 0 where all are. In float32: bfloat16 rounds small gradients away.
    """
    slopes = []
    # The fused attention kernels have no second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        for place in (images, elsewhere):
            inputs = place.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(loss(inputs) * len(inputs), inputs, create_graph=True)
            slopes.append(slope.flatten(1))
    lengths = torch.stack([slope.detach().norm(dim=1) for slope in slopes])
    there = (lengths > 0).all(0)
    here, other = (slope[there] for slope in slopes)
    cosines = functional.cosine_similarity(here, other, dim=1, eps=_SHORTEST_GRADIENT)
    return (1 - cosines).sum() / there.sum().clamp(min=1)


def _pgd(step: Step, images: torch.Tensor, target: Target, generator: torch.Generator) -> Sequence[torch.Tensor]:
    steps = step.recipe.train_attack_steps
    return _iterative(step, images, target, generator, _PGD_STRIDE * step.recipe.train_eps / steps, steps)


def _fgsm(step: Step, images: torch.Tensor, target: Target, generator: torch.Generator) -> Sequence[torch.Tensor]:
    eps = step.recipe.train_eps
    if step.recipe.fgsm_start == "uniform":
        return _iterative(step, images, target, generator, _FGSM_STRIDE * eps, 1)
    noisy = (images + noise(images, _NFGSM_NOISE * eps, generator)).clamp(0, 1)
    with eval_mode(step.model):
        # N-FGSM steps from the noisy image and does not project: the noise is augmentation, not part of the attack.
        attacked = perturb(noisy, lambda x: target.loss(_logits(step, x)), noisy, eps=eps, stride=eps, steps=1)
    return _learn(step, images, attacked, target, generator)


def _trades(step: Step, images: torch.Tensor, target: Target, generator: torch.Generator) -> Sequence[torch.Tensor]:
    recipe, steps = step.recipe, step.recipe.train_attack_steps
    with torch.no_grad(), eval_mode(step.model):
        clean = _logits(step, images)
    start = images + _TRADES_NOISE * torch.randn(images.shape, generator=generator, device=images.device)
    stride = _PGD_STRIDE * recipe.train_eps / steps
    attacked = _attack(
        step, images, lambda x: divergence(_logits(step, x), clean, target.multi_label), start, stride, steps
    )

    def loss(logits: torch.Tensor) -> torch.Tensor:
        natural, moved = logits.float().chunk(2)
        return target.loss(natural) + recipe.trades_beta * divergence(moved, natural, target.multi_label)

    # One pass over both halves: a wrapper for several workers allows a single forward pass per update.
    return [step.descend(lambda: step.loss(torch.cat([images, attacked]), loss))]


def _free(
    step: AdversarialStep, images: torch.Tensor, target: Target, generator: torch.Generator
) -> Sequence[torch.Tensor]:
    eps, losses = step.recipe.train_eps, []
    delta = (
        step.carried if step.carried is not None and step.carried.shape == images.shape else torch.zeros_like(images)
    )
    for _ in range(step.replays):
        attacked = _within(images, images + delta, eps).requires_grad_(True)
        losses.append(step.descend(partial(step.loss, attacked, target.loss)))
        assert attacked.grad is not None  # of the update's own backward pass
        delta = (delta + eps * attacked.grad.sign()).clamp_(-eps, eps)
    step.carried = delta
    return losses


def divergence(logits: torch.Tensor, reference: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """Mean Kullback-Leibler divergence of the predictions from the reference ones; for several labels, summed over them."""
    if not multi_label:
        return functional.kl_div(
            logits.log_softmax(1), reference.log_softmax(1), reduction="batchmean", log_target=True
        )
    ours, theirs = (torch.stack((functional.logsigmoid(x), functional.logsigmoid(-x))) for x in (logits, reference))
    return functional.kl_div(ours, theirs, reduction="sum", log_target=True) / len(logits)


# (step, clean images, target, generator) -> detached loss of each update, after the weights have moved.
TRAIN_ATTACKS: Mapping[str, Callable[..., Sequence[torch.Tensor]]] = {
    "pgd": _pgd,
    "fgsm": _fgsm,
    "free": _free,
    "trades": _trades,
}


def step_class(recipe: Recipe) -> type[Step]:
    """The kind of step `recipe` needs."""
    return AdversarialStep if recipe.train_eps > 0 else Step
