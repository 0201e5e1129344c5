"""The seeds of a recipe as one model that averages their probabilities: its evidence, made of what was kept of each seed.

`python -m sweep.export --seeds all` exports that model, so what is predicted here is what would be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from sweep.shift.pooled_performance import HeldOut, ModelEvidence

_TINY = 1e-12  # probability: a margin of 28 either way


def ensemble_of(models: Sequence[ModelEvidence]) -> ModelEvidence | None:
    """Evidence of the mean probability of two or more seeds; None of one seed, or where the seeds were not shown the same images."""
    if len(models) < 2 or any(not _alike(models[0], one) for one in models[1:]):
        return None
    hospitals = [
        replace(shown[0], logits=_mean([one.logits for one in shown]))
        for shown in zip(*(one.hospitals for one in models), strict=True)
    ]
    held_out = [one.held_out for one in models if one.held_out is not None]
    return replace(
        models[0],
        source_logits=_mean([one.source_logits for one in models]),
        target_logits=_mean([one.target_logits for one in models]),
        hospitals=hospitals,
        held_out=_held_out(held_out) if len(held_out) == len(models) else None,
    )


def _held_out(parts: Sequence[HeldOut]) -> HeldOut:
    return replace(
        parts[0],
        margins=_mean_margin([one.margins for one in parts]),
        shown_margins=_mean_margin([one.shown_margins for one in parts]),
    )


def _mean(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Logits [N, K] of the mean probability."""
    mean: np.ndarray = special.logsumexp([special.log_softmax(one, axis=1) for one in logits], axis=0)
    return mean - np.log(len(logits))


def _mean_margin(margins: Sequence[np.ndarray]) -> np.ndarray:
    """Log odds [N] of the mean probability of class 1."""
    odds: np.ndarray = special.logit(special.expit(margins).mean(axis=0).clip(_TINY, 1 - _TINY))
    return odds


def _alike(a: ModelEvidence, b: ModelEvidence) -> bool:
    """Whether both were shown the same images, by their number and labels."""
    pairs: list[tuple[Any, Any]] = [(a.source_labels, b.source_labels), (len(a.target_logits), len(b.target_logits))]
    pairs += [(x.labels, y.labels) for x, y in zip(a.hospitals, b.hospitals, strict=False)]
    if a.held_out is not None and b.held_out is not None:
        pairs.append((a.held_out.labels, b.held_out.labels))
    return len(a.hospitals) == len(b.hospitals) and all(np.array_equal(x, y) for x, y in pairs)
