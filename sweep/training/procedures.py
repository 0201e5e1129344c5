"""Which parts train in which step: each procedure of the papers as a row of steps, run by one loop.

Two-step training: deep colourization, arXiv 2005.10589. Colorizer first and frozen afterwards: DE2CO, arXiv 1703.10881.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.training.recipe import Recipe

_EVERYTHING = ("colorizer", "backbone", "head")

# Procedure -> the parts that train in each of its steps.
PROCEDURES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "joint": (_EVERYTHING,),
    "head_only": (("head",),),
    "colorizer_head": (("colorizer", "head"),),
    "two_step": (("colorizer", "head"), _EVERYTHING),
    "deco": (("colorizer", "head"), ("backbone", "head")),
}


@dataclass(frozen=True)
class Phase:
    """One step of a procedure: its length in epochs and the learning rate of each part that trains."""

    number: int
    epochs: int
    lr: Mapping[str, float]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that train."""
        return tuple(self.lr)


def phases(recipe: Recipe) -> tuple[Phase, ...]:
    """The steps of `recipe`'s procedure; their epochs add up to `recipe.epochs`, and a step without epochs is left out."""
    rows = PROCEDURES[recipe.procedure]
    lengths = _lengths(recipe, len(rows))
    return tuple(
        Phase(number, epochs, {part: recipe.lr * _factor(recipe, part, parts) for part in parts})
        for number, (parts, epochs) in enumerate(zip(rows, lengths, strict=True), start=1)
        if epochs > 0
    )


def _lengths(recipe: Recipe, steps: int) -> tuple[int, ...]:
    if steps == 1:
        return (recipe.epochs,)
    first = round(recipe.epochs * recipe.step1_share)
    return (first, recipe.epochs - first)


def _factor(recipe: Recipe, part: str, trained: tuple[str, ...]) -> float:
    if "backbone" not in trained:
        return recipe.step1_lr_factor
    return {"colorizer": recipe.colorizer_lr_factor, "backbone": 1.0, "head": recipe.head_lr_factor}[part]
