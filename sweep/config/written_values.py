"""Values of a sweep config in a form of their own: durations, the whole training fold, adaptations that can be tried on a trained model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator

TriedAdaptation = Literal["none", "batch_norm", "entropy", "histogram"]
TRIED_ADAPTATIONS: tuple[TriedAdaptation, ...] = get_args(TriedAdaptation)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> float:
    """Seconds of a duration like 90s, 30m, 2h or 1d. Raises ValueError for any other text."""
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 30m, 2h or 1d")
    return seconds


def _checked_duration(text: str) -> str:
    seconds_of(text)
    return text


Duration = Annotated[str, AfterValidator(_checked_duration)]


def none_for_all(value: Any) -> Any:
    """`train_images: all` is the whole fold, as if it were left out."""
    if isinstance(value, list):
        raise ValueError(f"{value} has several sizes; list them under grid, like grid: {{train_images: [100, all]}}")
    return None if value == "all" else value


def with_whole_fold(place: Mapping[str, Any]) -> dict[str, Any]:
    """grid, search or fixed with `all` among the values of train_images replaced by None, which means the whole fold."""
    given = place["train_images"]
    if isinstance(given, Mapping) and isinstance(given.get("values"), list):
        return {**place, "train_images": {**given, "values": [_none_if_all(value) for value in given["values"]]}}
    whole = [_none_if_all(value) for value in given] if isinstance(given, list) else _none_if_all(given)
    return {**place, "train_images": whole}


def _none_if_all(value: Any) -> Any:
    return None if value == "all" else value
