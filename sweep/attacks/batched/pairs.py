"""The queue of (image, threat, epsilon, run) pairs, and the selection of the next ones, without the host looking at a value.

Selections have a fixed shape: positions come from cumulative sums and are written with scatter, because a boolean index has a length that
the host would have to wait for.
"""

# P pairs, S slots of a batch, N images of a chunk, T threats of a group, E epsilons.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Pairs:
    """One entry a pair, in the order in which they start, and one more that stands for none: [P + 1].

    Small epsilons come first, so that what they break is never tried at larger ones. `run` counts restarts; those from `chance` on are
    additional chances of near misses.
    """

    image: Tensor
    threat: Tensor
    level: Tensor  # index of the epsilon
    epsilon: Tensor
    run: Tensor
    chance: Tensor

    @classmethod
    def of(cls, count: int, epsilons: Sequence[float], levels: Sequence[Sequence[int]], runs: Sequence[int],
           chances: Sequence[int], like: Tensor) -> Pairs:  # fmt: skip
        """Of `count` images; `levels[t]` are the epsilons that threat t tries, `runs[t]` its restarts, `chances[t]` its additional runs."""
        rows = [
            (level, run, threat, run >= runs[threat])
            for level in range(len(epsilons))
            for run in range(max(a + b for a, b in zip(runs, chances, strict=True)))
            for threat in range(len(levels))
            if level in levels[threat] and run < runs[threat] + chances[threat]
        ]
        rows.append((0, 0, 0, False))
        level, run, threat, chance = (torch.tensor(column, device=like.device) for column in zip(*rows, strict=True))
        image = torch.arange(count, device=like.device).repeat(len(rows) - 1)
        each = torch.arange(len(rows) - 1, device=like.device).repeat_interleave(count)
        each = torch.cat([each, each.new_full((1,), len(rows) - 1)])
        radius = torch.tensor([*epsilons], dtype=torch.float64, device=like.device)
        return cls(
            torch.cat([image, image.new_zeros(1)]), threat[each], level[each], radius[level[each]].to(like.dtype),
            run[each], chance[each],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.image) - 1

    def at(self, chosen: Tensor) -> Pairs:
        """The entries [S] of the pairs that the slots hold."""
        return Pairs(*(getattr(self, part.name)[chosen] for part in fields(self)))


def ranks(mask: Tensor) -> Tensor:
    """How many entries before each one are true: int64, the shape of `mask`."""
    return mask.long().cumsum(0) - mask.long()


def first_true(mask: Tensor, count: int, none: int) -> Tensor:
    """Indices [count] of the first true entries of `mask`; `none` in the places left over."""
    place = torch.where(mask, ranks(mask), count).clamp(
        max=count
    )  # entries that are not wanted share a last place, which is cut off
    found = torch.full((count + 1,), none, dtype=torch.long, device=mask.device)
    found.scatter_(0, place, torch.arange(len(mask), device=mask.device))
    return found[:count]
