"""A recorder for the CPU that behaves as a CUDA graph does: it repeats operations on the tensors that it was recorded with, not Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")


class Tape:
    """Records every operation below autograd. Numbers that Python computed are frozen, and reading a value raises as in a capture.

    `broken` is called with each operation's name; those for which it returns True are left out of replays, as a faulty graph would.
    """

    def __init__(self, broken: Callable[[str], bool] = lambda name: False) -> None:
        self.broken, self.recordings, self.replays = broken, 0, 0

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None], generators: Sequence[torch.Generator] = ()) -> Callable[[], None]:
        self.recordings += 1
        mode = _Recording()
        with mode:
            work()
        kept = [operation for operation in mode.operations if not self.broken(operation[0].name())]

        def replay() -> None:
            self.replays += 1
            with torch.no_grad():
                for function, args, kwargs, made in kept:
                    found = tree_leaves(function(*args, **kwargs))
                    for new, old in zip(found, made, strict=True):
                        if isinstance(new, torch.Tensor) and new is not old:
                            old.copy_(new)

        return replay


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple, dict, list]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.name().split(".")[0]
        if name in _WAITS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            # A view shares the memory of its base, which the replay has refreshed. Aliases keep recorded memory alive.
            alive = [leaf.detach() if isinstance(leaf, torch.Tensor) else leaf for leaf in tree_leaves(made)]
            same = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
            outputs = [new if id(old) not in same else old for new, old in zip(alive, tree_leaves(made), strict=True)]
            self.operations.append((func, args, kwargs or {}, outputs))
        return made
