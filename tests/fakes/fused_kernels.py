"""Runs the Triton kernels of the texture functions in Triton's interpreter, on the CPU, and prints how far they are from float64.

    TRITON_INTERPRET=1 python -m tests.fakes.fused_kernels

A process of its own, because Triton reads that variable when it is imported.
"""

from __future__ import annotations

import json

import torch

from sweep.losses.glcm import GLCMLoss, fused, glcm, soft, soft_glcm
from sweep.losses.glcm.properties import moments

OFFSETS = [(0, 2), (2, -1)]
SIZE = (7, 12)  # more pairs than one block takes


def hard_counts_equal() -> dict[str, bool]:
    found = {}
    for levels in (5, 17, 200):
        images = torch.randint(
            0, levels, (2, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(levels)
        )
        ours, theirs = (glcm(images, levels, (1,), (0.0, 2.3), backend=way) for way in ("triton", "scatter"))
        found[str(levels)] = bool(torch.equal(ours, theirs))
    return found


def values(levels: int) -> torch.Tensor:
    """Level units, some outside the range, at least 0.01 away from the kinks of the bins."""
    drawn = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * (levels + 1) - 1
    return drawn.floor() + 0.01 + 0.98 * (drawn - drawn.floor())


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((ours.double() - theirs).abs().max() / theirs.abs().max())


def soft_counts() -> dict[str, float]:
    levels = 20
    ours, theirs = values(levels).float().requires_grad_(), values(levels).requires_grad_()
    weights = torch.randn(len(OFFSETS), levels, levels, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, wanted = fused.soft_counts(ours, levels, OFFSETS), soft._dense(theirs, levels, OFFSETS)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    return {"values": apart(found.detach(), wanted.detach()), "gradient": apart(ours.grad, theirs.grad)}


def statistics() -> dict[str, float]:
    levels = 20
    ours, theirs = values(levels).float().requires_grad_(), values(levels).requires_grad_()
    found = fused.soft_statistics(ours, levels, OFFSETS)
    counts = soft._dense(theirs, levels, OFFSETS)
    wanted = moments(counts.flatten(0, 1), counts.sum((-1, -2)).flatten()).unflatten(0, counts.shape[:2])
    weights = torch.rand(wanted.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    return {"values": apart(found.detach(), wanted.detach()), "gradient": apart(ours.grad, theirs.grad)}


def loss() -> dict[str, float]:
    """The extremes, to which images are stretched, lie in a column of no window: there a bin has a kink."""
    grey = torch.rand(1, 1, 6, 14, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    colors = torch.rand(1, 3, 6, 14, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for images in (grey, colors):
        images[..., 0, 12], images[..., 0, 13] = -0.1, 1.1
    found = []
    for way, kind in (("triton", torch.float32), ("dense", torch.float64)):
        given = colors.to(kind).requires_grad_()
        value = GLCMLoss(8, distance=2, window=6, backend=way)(given, grey.to(kind))
        value.backward()
        found.append((value.detach(), given.grad))
    return {"values": apart(found[0][0], found[1][0]), "gradient": apart(found[0][1], found[1][1])}


def nan_stays() -> bool:
    images = torch.ones(1, 4, 4)
    images[0, 1, 1] = float("nan")
    return bool(soft_glcm(images, 4, angles=(0.0,), backend="triton").isnan().any())


if __name__ == "__main__":
    parts = (hard_counts_equal, soft_counts, statistics, loss, nan_stays)
    print(json.dumps({part.__name__: part() for part in parts}))
