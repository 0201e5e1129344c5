"""Kernels compiled by numba where it works: how one is compiled, and whether it can be."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any


def jit(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first call, without the GIL; machine code is kept where a folder for it can be written."""
    import numba

    # Python's check for division by zero would prevent vectorisation.
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # neither the package folder nor the user's cache folder can be written
        return numba.njit(**options)(kernel)


def importable(package: str, without: str) -> bool:
    """Whether an optional compiler can be imported; an installed but broken one gives a warning that ends in `without`."""
    if importlib.util.find_spec(package) is None:
        return False
    try:
        importlib.import_module(package)
    # numba refuses an unknown NumPy with an ImportError, a broken LLVM with an OSError, and more.
    except Exception as error:  # noqa: BLE001
        problem = " ".join(str(error).split())
        warnings.warn(f"{package} cannot be imported ({problem}); {without}", RuntimeWarning, stacklevel=3)
        return False
    return True
