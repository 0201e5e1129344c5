"""Settings that state under which condition a recipe is judged: they are never compared as if one of them could be chosen.

Which hospital is trained on and how many images there are is given to whoever deploys; a model of the other direction is tested on other
images, and one of more images has had more data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frames import Run
from sweep.core.metric_table import DIRECTIONS, SOURCE_TO_TARGET

DIRECTION, TRAIN_IMAGES = "direction", "train_images"
CONDITIONS = (DIRECTION, TRAIN_IMAGES)


@dataclass(frozen=True)
class Condition:
    """The direction and the size of the training set, in words that leave out what does not vary in the run."""

    direction: str
    train_images: int | None  # None: the whole training fold
    text: str

    @property
    def order(self) -> tuple[int, float]:
        """The sweep's own direction first, the largest training set first."""
        size = float("inf") if self.train_images is None else self.train_images
        return DIRECTIONS.index(self.direction) if self.direction in DIRECTIONS else len(DIRECTIONS), -size


def conditions(run: Run) -> dict[str, Condition]:
    """signature -> the condition it was trained under."""
    rows = _rows(run.configs)
    varying = [name for name in CONDITIONS if len({_value(row, name) for row in rows}) > 1]
    return {key: _condition(row, varying) for key, row in zip(run.configs.index, rows, strict=True)}


def grouped(run: Run) -> dict[Condition, list[str]]:
    """The signatures of each condition, first the one that a recommendation is about."""
    groups: dict[Condition, list[str]] = {}
    for key, condition in conditions(run).items():
        groups.setdefault(condition, []).append(key)
    return {condition: groups[condition] for condition in sorted(groups, key=lambda one: one.order)}


def _rows(configs: pd.DataFrame) -> list[dict[str, Any]]:
    known = [name for name in CONDITIONS if name in configs]
    return configs[known].to_dict("records") if known else [{} for _ in range(len(configs))]


def _value(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    return None if value is None or value != value else value


def _condition(row: Mapping[str, Any], varying: list[str]) -> Condition:
    direction, size = _value(row, DIRECTION) or SOURCE_TO_TARGET, _value(row, TRAIN_IMAGES)
    words = [direction.replace("_", " ")] if DIRECTION in varying else []
    if TRAIN_IMAGES in varying:
        words.append("all training images" if size is None else f"{size:g} training images")
    return Condition(str(direction), None if size is None else int(size), ", ".join(words))
