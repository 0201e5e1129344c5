"""A function or class of a module that is imported when it is first called.

For tables whose names are looked up by commands that call none of their rows: checking a sweep config must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Deferred:
    """`Deferred("package.module", "name")(...)` is `package.module.name(...)`."""

    module: str
    name: str

    def load(self) -> Callable[..., Any]:
        """What is deferred; ImportError or AttributeError where it is not there."""
        found: Callable[..., Any] = getattr(import_module(self.module), self.name)
        return found

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.load()(*args, **options)
