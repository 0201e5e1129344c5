"""Every query of an attack goes through the referee, which judges each queried point and records what breaks.

An attack proposes points and does not report success itself. The referee measures each point (distance to the clean image,
range [0, 1], prediction), so a budget error inside an attack cannot lower a robust accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sweep.attacks import criteria, norms
from sweep.attacks.network import Gradient, Loss, Network

NEAR = 0.15  # a miss is near when at most this share of the clean margin is left
ROUNDING = 1e-6  # float32 rounding of image + epsilon - image; 1/4000 of one grey level


@dataclass
class Memory:
    """Cached answers at points that several attacks query: the clean image and the first steps away from it.

    A cached answer is used only for a bit-equal point, so caching changes no result. Answers of a fast search are in
    bfloat16: usable for its next step, never for a verdict.
    """

    points: list[Tensor] = field(default_factory=list)
    answers: list[tuple[Tensor, ...]] = field(default_factory=list)
    known: list[Tensor] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)

    def find(self, rows: Tensor, images: Tensor, exact_only: bool) -> list[tuple[int, Tensor]]:
        """(slot, positions in `images`) for every slot that holds some of them."""
        found, missing = [], torch.arange(len(rows), device=rows.device)
        for slot, points in enumerate(self.points):
            if not len(missing):
                break
            if exact_only and not self.exact[slot]:
                continue
            here = rows[missing]
            hit = self.known[slot][here] & (points[here] == images[missing]).flatten(1).all(dim=1)
            if hit.any():
                found.append((slot, missing[hit]))
                missing = missing[~hit]
        return found

    def store(self, count: int, rows: Tensor, images: Tensor, answer: tuple[Tensor, ...], exact: bool) -> None:
        """Keep the answers for `rows` of a chunk of `count` images in a new slot."""
        if not len(rows):
            return
        known = torch.zeros(count, dtype=torch.bool, device=rows.device)
        known[rows] = True
        self.known.append(known)
        self.exact.append(exact)
        self.points.append(_spread(count, rows, images))
        self.answers.append(tuple(_spread(count, rows, part) for part in answer))


def _spread(count: int, rows: Tensor, values: Tensor) -> Tensor:
    whole = values.new_zeros((count, *values.shape[1:]))
    whole[rows] = values
    return whole


class Referee:
    """Judges one chunk of images against one threat; rows index the chunk.

    `nearest` [N] is the smallest distance at which an image was seen broken (inf: never). With `leave` off no image leaves
    early: the attack runs to its end, for a gallery or a comparison. Bool [N] for the alarms: `asked` (a gradient was
    computed), `with_gradient` (one was not zero), `non_finite` (one had NaN or infinite entries), `moved` (a point other
    than the clean image was proposed).
    """

    def __init__(
        self, network: Network, images: Tensor, labels: Tensor, norm: str, memory: Memory, leave: bool = True
    ) -> None:
        self.network, self.images, self.labels, self.norm = network, images, labels, norm
        self.memory, self.leave = memory, leave
        self.nearest = torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device)
        self.clean_margin = torch.full_like(self.nearest, -torch.inf)
        self.margin = self.clean_margin.clone()  # at the last queried point
        self.classes = 0
        self.examples: Tensor | None = None
        never = torch.zeros_like(self.nearest, dtype=torch.bool)
        self.asked, self.with_gradient, self.non_finite, self.moved = (never.clone() for _ in range(4))

    def saw_clean(self, logits: Tensor) -> None:
        """Record the clean prediction [N, K]."""
        self.classes = logits.shape[1]
        self.clean_margin = criteria.margin(logits, self.labels).double()

    def near_miss(self, rows: Tensor) -> Tensor:
        """Mask [n]: the last queried point had lost nearly all of the clean margin."""
        return self.margin[rows] > NEAR * self.clean_margin[rows]

    def keep_examples(self) -> None:
        """Also keep, per image, the nearest point that broke it (NaN where none did)."""
        self.examples = torch.full_like(self.images, torch.nan)

    def forward(self, rows: Tensor, points: Tensor) -> Tensor:
        """Logits [n, K] at `points`."""
        logits = self._recall(rows, points, need=1, ask=lambda left: (self.network.forward(points[left]),))[0]
        self._judge(rows, points, logits)
        return logits

    def gradient(
        self, rows: Tensor, points: Tensor, loss: Loss, *, remember: bool = False, exact: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [n, K], loss [n] and input gradient at `points`, its non-finite entries set to zero.

        `remember` keeps the answer for the other threats; `exact` computes in float32 in fast mode too.
        """
        labels = self.labels[rows]
        if exact:
            answer = self.network.exact_gradient(points, labels, loss)
        elif loss is not criteria.cross_entropy:  # the memory holds answers to cross-entropy alone
            answer = self.network.gradient(points, labels, loss)
        else:
            recalled = self._recall(
                rows,
                points,
                need=len(Gradient._fields),
                remember=remember,
                ask=lambda left: self.network.gradient(points[left], labels[left], loss),
            )
            answer = Gradient(*recalled)
        self.saw_gradient(rows, answer.gradient, answer.finite)
        self._judge(rows, points, answer.logits)
        return answer.logits, answer.loss, answer.gradient

    def saw_gradient(self, rows: Tensor, gradient: Tensor, finite: Tensor) -> None:
        """Record for the alarms what the gradient [n, C, H, W] of `rows` was worth; `finite` bool [n]."""
        self.asked[rows] = True
        self.with_gradient[rows] |= gradient.flatten(1).any(dim=1)
        self.non_finite[rows] |= ~finite

    def standing(self, rows: Tensor, epsilon: Tensor) -> Tensor:
        """Mask [n]: not yet broken within `epsilon`, so worth another step."""
        if not self.leave:
            return torch.ones_like(rows, dtype=torch.bool)
        return self.nearest[rows] > epsilon + ROUNDING

    def note(self, rows: Tensor, points: Tensor, broken: Tensor) -> None:
        """Record the distance of the `broken` ones of `points`, unless they lie outside [0, 1] or are not finite."""
        if not broken.any():
            return
        rows, points = rows[broken], points[broken]
        flat = points.flatten(1)
        inside = (flat.amin(dim=1) >= -ROUNDING) & (flat.amax(dim=1) <= 1 + ROUNDING)  # NaN compares false
        length = norms.distance(self.norm, points - self.images[rows]).double()
        better = inside & (length < self.nearest[rows])
        self.nearest[rows[better]] = length[better]
        if self.examples is not None:
            self.examples[rows[better]] = points[better]

    def _judge(self, rows: Tensor, points: Tensor, logits: Tensor) -> None:
        self.margin[rows] = criteria.margin(logits, self.labels[rows]).double()
        self.moved[rows] |= (points != self.images[rows]).flatten(1).any(dim=1)
        self.note(rows, points, ~criteria.is_right(logits, self.labels[rows]))

    def _recall(
        self,
        rows: Tensor,
        points: Tensor,
        need: int,
        ask: Callable[[Tensor], tuple[Tensor, ...]],
        remember: bool = False,
    ) -> tuple[Tensor, ...]:
        """The first `need` parts of the answers at `points`, from the memory where known, else from `ask(mask)`."""
        found = self.memory.find(rows, points, exact_only=need == 1)
        if not found:
            fresh = ask(torch.ones(len(rows), dtype=torch.bool, device=rows.device))
            if remember:
                self.memory.store(len(self.images), rows, points, fresh, self.network.exact)
            return fresh
        unknown = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        for _, positions in found:
            unknown[positions] = False
        rest = ask(unknown) if unknown.any() else None
        if rest is not None and remember:
            self.memory.store(len(self.images), rows[unknown], points[unknown], rest, self.network.exact)
        answer = []
        for part in range(need):
            sample = self.memory.answers[found[0][0]][part]
            whole = sample.new_empty((len(rows), *sample.shape[1:]))
            for slot, positions in found:
                whole[positions] = self.memory.answers[slot][part][rows[positions]]
            if rest is not None:
                whole[unknown] = rest[part]
            answer.append(whole)
        return tuple(answer)
