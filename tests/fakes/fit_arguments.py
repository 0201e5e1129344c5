"""Loose keyword arguments of a test -> `fit`'s options and hooks."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sweep.training.fit import FitOptions
from sweep.training.hooks import TrainingHooks

_OPTIONS = {one.name for one in fields(FitOptions)}


def fit_arguments(**given: Any) -> dict[str, Any]:
    """`options` and `hooks` for `fit`; a name that neither has raises TypeError."""
    options = {name: value for name, value in given.items() if name in _OPTIONS}
    hooks = {name: value for name, value in given.items() if name not in _OPTIONS}
    return {"options": FitOptions(**options), "hooks": TrainingHooks(**hooks)}
