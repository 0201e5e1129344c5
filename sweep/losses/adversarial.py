"""Critic scores -> losses of the two players, and the constraints that keep a critic Lipschitz.

Scores are [N] tensors without a sigmoid. Sources: Wasserstein with weight clipping, Arjovsky et al. 2017; gradient
penalty, Gulrajani et al. 2017; hinge, Lim & Ye 2017 and Miyato et al. 2018; relativistic pairing with R1 and R2, Huang et al. 2024
(R3GAN, arXiv 2501.05441) after Jolicoeur-Martineau 2018 and Mescheder et al. 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sweep.core.errors import InputError


@dataclass(frozen=True)
class AdversarialLoss:
    """One game: what the critic minimises given (real, fake) scores, and the generator given the same.

    `compares` says whether the generator's loss looks at the real scores at all; they need not be computed where it does not.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    compares: bool = False


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E[fake] - E[real]: minus the critic's estimate of the distance between the two distributions."""
    return fake.mean() - real.mean()


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Pushes real scores above +1 and fake scores below -1, and asks for no more."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E[softplus(fake - real)] over pairs: each real image is to score above the synthetic one beside it. InputError without pairs."""
    _check_pairs(real, fake)
    return F.softplus(fake - real).mean()


def negative_score(_real: Tensor, fake: Tensor) -> Tensor:
    """-E[fake]: the generator raises the critic's score of its images, in both games that use it."""
    return -fake.mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """E[softplus(real - fake)] over pairs: the reverse of the critic's loss. InputError without pairs."""
    _check_pairs(real, fake)
    return F.softplus(real - fake).mean()


def _check_pairs(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        problem = f"{tuple(real.shape)} of real images and {tuple(fake.shape)} of synthetic ones"
        raise InputError("scores", problem, "give as many synthetic images as real ones: the loss compares pairs")


LOSSES = {
    "wasserstein": AdversarialLoss(wasserstein_critic, negative_score),
    "hinge": AdversarialLoss(hinge_critic, negative_score),
    "relativistic": AdversarialLoss(relativistic_critic, relativistic_generator, compares=True),
}


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean squared distance of the critic's gradient norm from one, on the lines between real and fake images.

    `real` and `fake` are [N, 1, H, W]; `mix` [N, 1, 1, 1] in [0, 1] places each point on its line.
    """
    points = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (slopes.flatten(1).norm(dim=1) - 1).square().mean()


def zero_centred_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the critic's gradient at `images` [N, 1, H, W], which `scores` [N] were computed from; R1 on real ones, R2 on synthetic."""
    (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slopes.flatten(1).square().sum(1).mean()


@torch.no_grad()
def clip_weights(parameters: Iterable[Tensor], bound: float) -> None:
    """Bring every weight into [-bound, bound], in place."""
    torch._foreach_clamp_min_(weights := list(parameters), -bound)
    torch._foreach_clamp_max_(weights, bound)
