"""The only door from an attack to the model: it judges every point that is asked and notes what breaks.

An attack proposes points; it is never asked whether it succeeded. The referee measures each point itself (distance to the
clean image, range [0, 1], prediction), so a wrong budget inside an attack can lower no robust accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sweep.attacks import criteria, norms
from sweep.attacks.network import Loss, Network

NEAR = 0.15  # a miss is near when at most this share of the clean margin is left
ROUNDING = 1e-6  # float32 noise of image + epsilon - image; 1/4000 of one grey level


@dataclass
class Memory:
    """Answers to points that several attacks ask for: the clean image and the first steps away from it.

    A stored answer is used only for a bit-equal point, so remembering changes no result. Those of a fast search are coarse:
    good enough for its next step, never for a verdict.
    """

    points: list[Tensor] = field(default_factory=list)
    answers: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    known: list[Tensor] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)

    def find(self, rows: Tensor, images: Tensor, exact_only: bool) -> list[tuple[int, Tensor]]:
        """(slot, positions in `images`) for every slot that knows some of them."""
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

    def store(
        self, count: int, rows: Tensor, images: Tensor, answer: tuple[Tensor, Tensor, Tensor], exact: bool
    ) -> None:
        """Keep the answers for `rows` of a chunk of `count` images in a slot of their own."""
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

    `nearest` [N] is the smallest distance at which an image was seen broken (inf: never). With `leave` off nobody is sent
    home early, which is how an attack runs to its end for a gallery or a comparison.
    """

    def __init__(
        self, network: Network, images: Tensor, labels: Tensor, norm: str, memory: Memory, leave: bool = True
    ) -> None:
        self.network, self.images, self.labels, self.norm = network, images, labels, norm
        self.memory, self.leave = memory, leave
        self.nearest = torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device)
        self.clean_margin = torch.full_like(self.nearest, -torch.inf)
        self.margin = self.clean_margin.clone()  # at the last point asked for
        self.classes = 0
        self.examples: Tensor | None = None

    def saw_clean(self, logits: Tensor) -> None:
        """Take note of the clean prediction [N, K]."""
        self.classes = logits.shape[1]
        self.clean_margin = criteria.margin(logits, self.labels).double()

    def near_miss(self, rows: Tensor) -> Tensor:
        """Mask [n]: the last point asked for had lost nearly all of the clean margin."""
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
        """Logits [n, K], loss [n] and input gradient at `points`.

        `remember` keeps the answer for the other threats; `exact` asks in float32 in fast mode too.
        """
        labels = self.labels[rows]
        if exact:
            answer = self.network.exact_gradient(points, labels, loss)
        elif loss is not criteria.cross_entropy:  # the memory holds answers to cross-entropy alone
            answer = self.network.gradient(points, labels, loss)
        else:
            answer = self._recall(
                rows,
                points,
                need=3,
                remember=remember,
                ask=lambda left: self.network.gradient(points[left], labels[left], loss),
            )
        self._judge(rows, points, answer[0])
        return answer

    def standing(self, rows: Tensor, epsilon: Tensor) -> Tensor:
        """Mask [n]: not yet broken within `epsilon`, so worth another step."""
        if not self.leave:
            return torch.ones_like(rows, dtype=torch.bool)
        return self.nearest[rows] > epsilon + ROUNDING

    def note(self, rows: Tensor, points: Tensor, broken: Tensor) -> None:
        """Note the distance of the `broken` ones of `points`, unless they lie outside [0, 1] or are not finite."""
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
        self.note(rows, points, ~criteria.is_right(logits, self.labels[rows]))

    def _recall(self, rows: Tensor, points: Tensor, need: int, ask, remember: bool = False) -> tuple[Tensor, ...]:
        found = self.memory.find(rows, points, exact_only=need == 1)
        unknown = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        for _, positions in found:
            unknown[positions] = False
        fresh = ask(unknown) if unknown.any() else None
        if fresh is not None and remember:
            self.memory.store(len(self.images), rows[unknown], points[unknown], fresh, self.network.exact)
        if not found:
            return fresh
        answer = []
        for part in range(need):
            sample = self.memory.answers[found[0][0]][part]
            whole = sample.new_empty((len(rows), *sample.shape[1:]))
            for slot, positions in found:
                whole[positions] = self.memory.answers[slot][part][rows[positions]]
            if fresh is not None:
                whole[unknown] = fresh[part]
            answer.append(whole)
        return tuple(answer)
