"""Which parts train in which step: each procedure of the papers as a row of steps, run by one loop.

Two-step training: deep colourization, arXiv 2005.10589. Colorizer first and frozen afterwards: DE2CO, arXiv 1703.10881. Linear probing, then
fine-tuning (lp_ft): Kumar et al. 2022, arXiv 2202.10054.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sweep.training.recipe import FEATURE_HEADS, Recipe

_EVERYTHING = ("colorizer", "backbone", "head")

# Procedure -> the parts that train in each of its steps.
PROCEDURES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "joint": (_EVERYTHING,),
    "head_only": (("head",),),
    "colorizer_head": (("colorizer", "head"),),
    "two_step": (("colorizer", "head"), _EVERYTHING),
    "deco": (("colorizer", "head"), ("backbone", "head")),
    "lp_ft": (("head",), _EVERYTHING),
    **{name: (("head",),) for name in FEATURE_HEADS},
}


@dataclass(frozen=True)
class Phase:
    """One step of a procedure: its length in epochs and the learning rate of each part that trains; `pretraining` is on synthetic images."""

    number: int
    epochs: int
    lr: Mapping[str, float]
    pretraining: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that train."""
        return tuple(self.lr)


def phases(recipe: Recipe, pretrain_share: float = 0.0) -> tuple[Phase, ...]:
    """The steps of `recipe`'s procedure; their epochs add up to `recipe.epochs`, and a step without epochs is left out.

    With `pretrain_share` the procedure is run twice: on synthetic images for that share of the epochs, then on real ones, so that the
    optimiser steps of both together are those of a training without pretraining. Fitting a head to frozen features counts as one epoch.
    """
    if recipe.procedure in FEATURE_HEADS:
        return (Phase(1, 1, {"head": 0.0}),)
    if not pretrain_share:
        return tuple(phase for phase in _steps(recipe, recipe.epochs) if phase.epochs)
    first = round(recipe.epochs * pretrain_share)
    pretraining = [replace(step, pretraining=True) for step in _steps(recipe, first)]
    afterwards = [
        replace(step, number=len(pretraining) + step.number) for step in _steps(recipe, recipe.epochs - first)
    ]
    return tuple(phase for phase in (*pretraining, *afterwards) if phase.epochs)


def _steps(recipe: Recipe, epochs: int) -> list[Phase]:
    rows = PROCEDURES[recipe.procedure]
    lengths = _lengths(epochs, recipe.step1_share, len(rows))
    return [
        Phase(number, length, {part: recipe.lr * _factor(recipe, part, parts) for part in parts})
        for number, (parts, length) in enumerate(zip(rows, lengths, strict=True), start=1)
    ]


def _lengths(epochs: int, step1_share: float, steps: int) -> tuple[int, ...]:
    if steps == 1:
        return (epochs,)
    first = round(epochs * step1_share)
    return (first, epochs - first)


def _factor(recipe: Recipe, part: str, trained: tuple[str, ...]) -> float:
    if "backbone" not in trained:
        return recipe.step1_lr_factor
    return {"colorizer": recipe.colorizer_lr_factor, "backbone": 1.0, "head": recipe.head_lr_factor}[part]
