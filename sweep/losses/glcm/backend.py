"""Choice of the counting backend: `native` (compiled, CPU), `scatter` (plain PyTorch), `dense` (matrix products)."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from functools import cache

from torch import Tensor

BACKENDS = ("auto", "native", "scatter", "dense")
DENSE_LEVELS = 16  # most levels for which a GPU counts by matrix products: on an H200, 32 levels took 5.6 ms so, 4.4 ms by atomic additions


def choose(backend: str, images: Tensor, levels: int) -> str:
    """`auto` resolved for these images; ValueError when the choice cannot work for them."""
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; one of {', '.join(BACKENDS)}")
    if backend == "native" and not (images.device.type == "cpu" and native_works()):
        raise ValueError("the native backend needs numba and images on the CPU; use scatter or auto")
    if backend != "auto":
        return backend
    if images.device.type == "cpu":
        return "native" if native_works() else "scatter"
    return "dense" if levels <= DENSE_LEVELS else "scatter"


def backends_for(images: Tensor) -> tuple[str, ...]:
    """The backends that can work for these images, for a comparison."""
    return ("scatter", "dense") + (("native",) if images.device.type == "cpu" and native_works() else ())


@cache
def native_works() -> bool:
    """Whether numba can be imported; an installed but broken one gives a warning, and plain PyTorch is used."""
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        importlib.import_module("numba")
    # It refuses an unknown NumPy with an ImportError, a broken LLVM with an OSError, and more.
    except Exception as error:  # noqa: BLE001
        problem = " ".join(str(error).split())
        warnings.warn(
            f"numba cannot be imported ({problem}); the texture loss runs in plain PyTorch, several times slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
