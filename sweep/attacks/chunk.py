"""Some images under every threat: the clean look, the trials in their order, and what each referee noted."""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.attacks import criteria, input_checks
from sweep.attacks.network import Network, Passes
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import ROUNDING, Memory, Referee
from sweep.attacks.threat import Threat


class Chunk:
    """Attacks its images; afterwards `right`, `logits`, `nearest[threat]` and `passes[threat]` hold the outcome.

    `epsilons` float64 [G] ascending and positive. With `together`, an image is done when any threat has broken it.
    """

    def __init__(
        self, network: Network, images: Tensor, labels: Tensor, threats: dict[str, Threat], epsilons: Tensor, batch_size: int,
        *, seed: int, start: int, together: bool, keep_examples: bool = False,
    ) -> None:  # fmt: skip
        self.network, self.images, self.labels, self.threats = network, images, labels, threats
        self.epsilons, self.batch_size, self.together = epsilons.to(images.device), batch_size, together
        memory = Memory()
        self.referees = {name: Referee(network, images, labels, row.norm, memory) for name, row in threats.items()}
        self.draws = {name: Draws(images, seed, row.name, start) for name, row in threats.items()}
        self.passes = {name: Passes() for name in threats}
        self.tried = {
            name: torch.zeros(len(images), len(epsilons), dtype=torch.bool, device=images.device) for name in threats
        }
        self.refined: dict[str, Tensor] = {}
        if keep_examples:
            for referee in self.referees.values():
                referee.keep_examples()
        self.clean_gradient: Tensor | None = None
        self._look_clean(memory)

    @property
    def nearest(self) -> dict[str, Tensor]:
        """Smallest breaking distance by threat, float64 [N]."""
        return {name: referee.nearest for name, referee in self.referees.items()}

    def broken_at(self, name: str) -> Tensor:
        """Index [N] of the smallest epsilon known to break each image (G: none); 0 for clean mistakes.

        By this threat, or by any of them when the images are attacked `together`.
        """
        return self.broken_at_worst() if self.together else self._index(self.referees[name].nearest)

    def broken_at_worst(self) -> Tensor:
        """As `broken_at`, by any threat."""
        return self._index(torch.stack([referee.nearest for referee in self.referees.values()]).amin(dim=0))

    def attempt(self, name: str, rows: Tensor, index: Tensor) -> None:
        """Let a threat attack `rows` [n], each at the epsilon of `index` [n], in full batches."""
        self.attempt_within(name, rows, self.epsilons[index])
        self.tried[name][rows, index] = True

    def attempt_within(self, name: str, rows: Tensor, radius: Tensor) -> None:
        """As `attempt`, with the epsilons themselves [n]."""
        before, threat = self.network.passes.copy(), self.threats[name]
        radius = radius.to(self.images.dtype)
        for part, within in zip(rows.split(self.batch_size), radius.split(self.batch_size), strict=True):
            if len(part):
                threat.search(self.referees[name], part, within, threat, self.draws[name])
        self.passes[name] += self.network.passes - before

    def _index(self, nearest: Tensor) -> Tensor:
        return torch.where(self.right, torch.searchsorted(self.epsilons, nearest - ROUNDING), 0)

    def _look_clean(self, memory: Memory) -> None:
        with_gradient = any(threat.asks_clean_gradient for threat in self.threats.values())
        everyone = torch.arange(len(self.images), device=self.images.device)
        answers = []
        for rows in everyone.split(self.batch_size):
            images, labels = self.images[rows], self.labels[rows]
            if with_gradient:  # it comes along with the prediction: the same forward pass
                answers.append(self.network.exact_gradient(images, labels, _checked_cross_entropy))
            else:
                answers.append((self.network.forward(images),))
                input_checks.check_logits(answers[-1][0], labels)
        answer = tuple(torch.cat(part) for part in zip(*answers, strict=True))
        if with_gradient:
            memory.store(len(self.images), everyone, self.images, answer, exact=True)
            self.clean_gradient = answer[2]
        self.logits = answer[0]
        self.right = criteria.is_right(self.logits, self.labels)
        for referee in self.referees.values():
            referee.saw_clean(self.logits)


def _checked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    input_checks.check_logits(logits, labels)
    return criteria.cross_entropy(logits, labels)
