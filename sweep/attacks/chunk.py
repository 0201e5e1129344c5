"""One chunk of images under every threat: the clean prediction, the attacks in their order, and each referee's record."""

from __future__ import annotations

import torch
from torch import Tensor

from sweep.attacks import criteria, input_checks
from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.network import Gradient, Network, Passes
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import ROUNDING, Memory, Referee
from sweep.attacks.threat import Threat
from sweep.core.activity import doing


class Chunk:
    """Attacks its images; afterwards `right`, `logits`, `nearest[threat]` and `passes[threat]` hold the outcome.

    `epsilons` float64 [G] ascending and positive; `start` is the chunk's first position among all images. With
    `options.worst_only` an image is done as soon as any threat has broken it.
    """

    def __init__(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        threats: dict[str, Threat],
        epsilons: Tensor,
        options: AttackOptions,
        start: int,
    ) -> None:
        self.network, self.images, self.labels, self.threats = network, images, labels, threats
        self.epsilons, self.batch_size = epsilons.to(images.device), options.batch_size
        self.together = options.worst_only
        memory = Memory()
        self.referees = {name: Referee(network, images, labels, row.norm, memory) for name, row in threats.items()}
        self.draws = {name: Draws(images, options.seed, row.name, start) for name, row in threats.items()}
        self.passes = {name: Passes() for name in threats}
        self.tried = {
            name: torch.zeros(len(images), len(epsilons), dtype=torch.bool, device=images.device) for name in threats
        }
        self._which = f"images {start + 1} to {start + len(images)}"
        self.refined: dict[str, Tensor] = {}
        if options.keep_examples:
            for referee in self.referees.values():
                referee.keep_examples()
        self.clean_gradient: Tensor | None = None
        self.clean_finite: Tensor | None = None
        self.logits = self._clean_logits(memory)
        self.right = criteria.is_right(self.logits, self.labels)
        for referee in self.referees.values():
            referee.saw_clean(self.logits)

    @property
    def nearest(self) -> dict[str, Tensor]:
        """Smallest breaking distance by threat, float64 [N]."""
        return {name: referee.nearest for name, referee in self.referees.items()}

    @property
    def examples(self) -> dict[str, Tensor]:
        """The nearest adversarial image by threat [N, C, H, W]; empty unless they were to be kept."""
        kept = {name: referee.examples for name, referee in self.referees.items()}
        return {name: images for name, images in kept.items() if images is not None}

    @property
    def non_finite(self) -> dict[str, Tensor]:
        """By threat, bool [N]: an input gradient of the image had NaN or infinite entries."""
        return {name: referee.non_finite for name, referee in self.referees.items()}

    @property
    def no_gradient(self) -> dict[str, Tensor]:
        """By threat, bool [N]: the attack computed gradients of the image and all of them were zero."""
        return {name: referee.asked & ~referee.with_gradient for name, referee in self.referees.items()}

    @property
    def unmoved(self) -> dict[str, Tensor]:
        """By threat, bool [N]: the image was attacked and every proposed point equalled the clean image."""
        return {name: self.tried[name].any(dim=1) & ~referee.moved for name, referee in self.referees.items()}

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
        self.report_progress(name)
        self.attempt_within(name, rows, self.epsilons[index])
        self.tried[name][rows, index] = True

    def report_progress(self, *names: str) -> None:
        """Report that these threats attack now, after how many attacks at one epsilon of those that there are at most."""
        made = sum(int(tried.any(dim=0).sum()) for tried in self.tried.values())
        most = sum(1 if threat.once else len(self.epsilons) for threat in self.threats.values())
        doing(f"attacking {self._which} with {', '.join(names)}", made, most)

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

    def _clean_logits(self, memory: Memory) -> Tensor:
        """Clean logits [N, K]; where a threat starts from the clean gradient, that too, from the same forward pass."""
        everyone = torch.arange(len(self.images), device=self.images.device)
        batches = [(self.images[rows], self.labels[rows]) for rows in everyone.split(self.batch_size)]
        if not any(threat.asks_clean_gradient for threat in self.threats.values()):
            logits = []
            for images, labels in batches:
                logits.append(self.network.forward(images))
                input_checks.check_logits(logits[-1], labels)
            return torch.cat(logits)
        answers = [self.network.exact_gradient(*batch, _checked_cross_entropy) for batch in batches]
        answer = Gradient(*(torch.cat(part) for part in zip(*answers, strict=True)))
        memory.store(len(self.images), everyone, self.images, answer, exact=True)
        self.clean_gradient, self.clean_finite = answer.gradient, answer.finite
        return answer.logits


def _checked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    input_checks.check_logits(logits, labels)
    return criteria.cross_entropy(logits, labels)
