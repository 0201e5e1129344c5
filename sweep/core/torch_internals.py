"""What this project touches of PyTorch's internals; tests/unit/core/test_torch_internals.py fails when one of them changes.

The first step of an optimiser imports PyTorch's compiler (torch._dynamo, two seconds of a process on a common core) only to mark places
that a compiled optimiser step would need. No step is compiled here, so the marks are left out.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)
_MADE: dict[type[Optimizer], type[Optimizer]] = {}
_BOOKKEEPING = (
    "add_param_group",
    "zero_grad",
    "state_dict",
    "load_state_dict",
)  # of Optimizer, kept from being compiled


def eager(kind: type[Kind]) -> type[Kind]:
    """The optimiser class `kind` with the same arithmetic, whose steps do not import the compiler."""
    _mark_bookkeeping()
    if kind not in _MADE:
        _MADE[kind] = _eager(kind)
    return cast("type[Kind]", _MADE[kind])


def _eager(kind: type[Optimizer]) -> type[Optimizer]:
    bare = getattr(kind.step, "__wrapped__", None)
    while bare is not None and hasattr(
        bare, "__wrapped__"
    ):  # the profiler's hook lies around an optimiser that was used before
        bare = bare.__wrapped__
    if bare is None:  # another PyTorch: its own step, with what it imports
        return kind

    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return bare(self, *args, **kwargs)

    return type(kind.__name__, (kind,), {"step": step, "__doc__": kind.__doc__, "__module__": __name__})


def _mark_bookkeeping() -> None:
    if "torch._dynamo" in sys.modules:
        return
    for name in _BOOKKEEPING:
        bare = getattr(getattr(Optimizer, name), "__wrapped__", None)
        if bare is not None and not hasattr(bare, "__dynamo_disable"):
            bare.__dynamo_disable = bare
