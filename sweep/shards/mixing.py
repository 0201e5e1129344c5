"""Real images + pools of synthetic ones -> the training set of one arm of the ratio study.

Every arm but `balance` keeps the class balance of the real images, and an arm with fewer synthetic images is contained in one with
more. Flips are augmentation and are not counted as synthetic images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.shards.hyperparameters import BUDGETS, HIGHEST_RATIO, POLICIES
from sweep.shards.image_set import ImageSet
from sweep.shards.lazy import joined


def synthetic_counts(labels: np.ndarray, synthetic_per_real: float, policy: str = "add") -> dict[int, int]:
    """Synthetic images of each class that an arm needs; `labels` are those of the real images.

    `add` and `pretrain`: synthetic_per_real times the class's real images, halves rounded up. `replace`: the class keeps its size n,
    of which n / (1 + synthetic_per_real) images, halves rounded up and at least one, stay real. `balance`: synthetic_per_real times all
    real images, given to the classes with the fewest images until all are equal, then to each in turn.
    """
    _check(synthetic_per_real, policy)
    classes, counts = np.unique(labels, return_counts=True)
    if policy == "balance":
        return _balancing(classes, counts, _round(synthetic_per_real * len(labels)))
    if policy != "replace":
        return {int(label): _round(synthetic_per_real * n) for label, n in zip(classes, counts, strict=False)}
    return {
        int(label): int(n) - max(1, _round(n / (1 + synthetic_per_real)))
        for label, n in zip(classes, counts, strict=False)
    }


def mix(
    real: ImageSet,
    pools: Mapping[int, np.ndarray],
    *,
    synthetic_per_real: float,
    policy: str = "add",
    seed: int,
) -> ImageSet:
    """The real images followed by the first synthetic ones of each class's pool (uint8 [M, px, px]).

    With `replace`, real images that `seed` picks make room for them. Raises InputError for a ratio outside 0 to 20, an
    unknown policy, and a pool that is missing, too small or of another size.
    """
    wanted = {label: n for label, n in synthetic_counts(real.labels, synthetic_per_real, policy).items() if n}
    kept = real if policy != "replace" else real.subset(_survivors(real.labels, wanted, seed))
    parts = [_taken(real, pools, label, count) for label, count in sorted(wanted.items())]
    return _joined([kept, *parts])


def steps_per_epoch(real_images: int, mixed_images: int, batch_size: int, budget: str = "steps") -> int:
    """Optimiser steps of one epoch, at least one.

    `steps`: what the real images alone would give, so that every arm is trained equally long; `epochs`: one pass over
    the mixed set, so that arms with more images are trained longer.
    """
    if budget not in BUDGETS:
        raise InputError("budget", repr(budget), f"write one of {', '.join(BUDGETS)}")
    return max(1, (real_images if budget == "steps" else mixed_images) // batch_size)


def agreeing(logits: np.ndarray, label: int, confidence: float = 0.5) -> np.ndarray:
    """Positions in a pool that a model trained on real images also takes for class `label`; `relabel: pseudo`.

    `logits` is float [M, K] of that model on the pool; kept are images whose softmax probability of `label` is at least
    `confidence` and the largest. Draw the pool larger and mix its agreeing images: counts and balance stay the same.
    """
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    chance = shifted[:, label] / shifted.sum(1)
    return np.flatnonzero((logits.argmax(1) == label) & (chance >= confidence))


def _check(synthetic_per_real: float, policy: str) -> None:
    if not 0 <= synthetic_per_real <= HIGHEST_RATIO:  # also false for NaN
        raise InputError("synthetic_per_real", repr(synthetic_per_real), f"write a number from 0 to {HIGHEST_RATIO:g}")
    if policy not in POLICIES:
        raise InputError("mixing_policy", repr(policy), f"write one of {', '.join(POLICIES)}")


def _round(value: float) -> int:
    # Halves go up: Python's round() sends 0.5 to 0 and 1.5 to 2. The small term undoes 0.3 * 5 = 1.4999999999999998.
    return math.floor(value + 0.5 + 1e-9)


def _balancing(classes: np.ndarray, counts: np.ndarray, images: int) -> dict[int, int]:
    """`images` in all, so that the smallest class is as large as it can be; what is left over goes to the first of the smallest."""
    order = np.argsort(counts, kind="stable")
    given = np.zeros(len(counts), int)
    for k in range(
        len(order)
    ):  # raise the k + 1 smallest classes together, to the next class or as far as the images go
        lowest = order[: k + 1]
        ceiling = counts[order[k + 1]] if k + 1 < len(order) else counts.max() + images
        gap = int(ceiling - counts[order[k]])
        share, rest = divmod(min(images, gap * (k + 1)), k + 1)
        given[lowest] += share
        given[lowest[:rest]] += 1
        images -= share * (k + 1) + rest
    return {int(label): int(count) for label, count in zip(classes, given, strict=True)}


def _survivors(labels: np.ndarray, displaced: Mapping[int, int], seed: int) -> np.ndarray:
    """Positions of the real images that stay, in their old order; the same images leave first at every ratio."""
    leaving: list[np.ndarray] = []
    for label, count in displaced.items():
        members = np.flatnonzero(labels == label)
        leaving.append(rng(seed, "replace", label).permutation(members)[:count])
    stays = np.ones(len(labels), bool)
    stays[np.concatenate([np.empty(0, np.int64), *leaving])] = False
    return np.flatnonzero(stays)


def _taken(real: ImageSet, pools: Mapping[int, np.ndarray], label: int, count: int) -> ImageSet:
    name = real.classes[label]
    pool = pools.get(label)
    if pool is None or len(pool) < count:
        raise InputError(
            f"synthetic pool of {name}",
            f"{0 if pool is None else len(pool)} images",
            f"sample {count} or more, or lower the ratio",
        )
    if pool.dtype != np.uint8 or pool.shape[1:] != real.images.shape[1:]:
        side = real.images.shape[1]
        raise InputError(f"synthetic pool of {name}", f"{pool.dtype} {pool.shape[1:]}", f"resize it to uint8 {side} px")
    ids = np.array([f"synthetic/{name}/{index:06d}" for index in range(count)])
    return ImageSet(
        pool[:count], np.full(count, label, np.int64), ids, ids, real.classes, real.domain, np.ones(count, bool)
    )


def _joined(parts: list[ImageSet]) -> ImageSet:
    first = parts[0]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("labels", "ids", "groups", "synthetic")
    }
    images = joined([part.images for part in parts])
    return ImageSet(images=images, classes=first.classes, domain=first.domain, **columns)
