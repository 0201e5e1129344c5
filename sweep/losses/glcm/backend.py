"""Choice of the counting backend: `native` (compiled, CPU), `triton` (kernels, GPU), `scatter` (plain PyTorch), `dense` (matrix products)."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from sweep.core.compiled import importable
from sweep.core.errors import InputError, suggestion

BACKENDS = ("auto", "native", "triton", "scatter", "dense")
DENSE_LEVELS = 16  # most levels for which a GPU counts by matrix products where nothing was measured: on an H200, 32 levels took 5.6 ms so, 4.4 ms by atomic additions
TRITON_LEVELS = (
    64  # most levels of soft counts in its kernels: a larger matrix does not fit into the registers of one block
)
REPEATS = 5  # of a measurement; the median counts
AGREEMENT = 1e-4  # largest accepted difference from `scatter`, as a share of its largest value; float32 sums differ by about 1e-6
Trial = Callable[[str], Tensor]  # backend -> its result for the images of the call

_measured: dict[tuple, str] = {}


def choose(backend: str, images: Tensor, levels: int, trial: Trial | None = None) -> str:
    """`auto` resolved for these images; InputError when the choice cannot work for them.

    On a GPU `auto` takes the quickest backend that agrees with `scatter`: measured with `trial` at the first call of its kind.
    """
    if backend not in BACKENDS:
        raise InputError("backend", f"unknown name {backend!r}", suggestion(str(backend), BACKENDS))
    if backend == "native" and not (images.device.type == "cpu" and native_works()):
        raise InputError("backend: native", "it needs numba and images on the CPU", "use scatter or auto")
    if backend == "triton" and not triton_serves(images, levels):
        needs = "it needs Triton, a GPU, no float64 and at most 64 levels of float images"
        raise InputError("backend: triton", needs, "use scatter or auto")
    if backend != "auto":
        return backend
    if images.device.type == "cpu":
        return "native" if native_works() else "scatter"
    usual = "dense" if levels <= DENSE_LEVELS else "scatter"
    return usual if trial is None or images.device.type != "cuda" else _quickest(images, levels, trial, usual)


def backends_for(images: Tensor, levels: int) -> tuple[str, ...]:
    """The backends that can work for these images, for a comparison."""
    native = images.device.type == "cpu" and native_works()
    triton = images.device.type == "cuda" and triton_serves(images, levels)
    return ("scatter", "dense", *(("native",) if native else ()), *(("triton",) if triton else ()))


def triton_serves(images: Tensor, levels: int) -> bool:
    """Whether the Triton kernels can count these images: on a GPU, or anywhere with TRITON_INTERPRET=1."""
    device = images.device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
    kind = images.dtype == torch.uint8 or (images.dtype != torch.float64 and levels <= TRITON_LEVELS)
    return device and kind and triton_works()


@cache
def triton_works() -> bool:
    """Whether Triton can be imported; an installed but broken one gives a warning."""
    return importable("triton", "the texture loss on a GPU runs in plain PyTorch")


@cache
def native_works() -> bool:
    """Whether numba can be imported; an installed but broken one gives a warning, and plain PyTorch is used."""
    return importable("numba", "the texture loss runs in plain PyTorch, several times slower")


def _quickest(images: Tensor, levels: int, trial: Trial, usual: str) -> str:
    # Batches of up to twice the size share a measurement: the last batch of an epoch is smaller.
    key = (images.device, images.dtype, levels, *images.shape[1:], len(images).bit_length())
    if key not in _measured:
        if torch.cuda.is_current_stream_capturing():
            return usual  # no waiting for the device while a step is recorded
        _measured[key] = measured(backends_for(images, levels), trial)
    return _measured[key]


@torch.no_grad()
def measured(ways: tuple[str, ...], trial: Trial) -> str:
    """The quickest of `ways` whose result agrees with that of `scatter`; one that fails or differs gives a warning and is left out."""
    wanted, seconds = trial("scatter"), {}
    for way in ways:
        try:
            problem = _disagreement(trial(way), wanted)
            seconds[way] = statistics.median(_timed(trial, way) for _ in range(REPEATS))
        except RuntimeError as error:  # what does not compile or fit into memory
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if problem is not None:
            seconds.pop(way, None)
            warnings.warn(f"texture backend {way} is not used: {problem}", RuntimeWarning, stacklevel=2)
    return min(seconds, key=lambda way: seconds[way])


def _timed(trial: Trial, way: str) -> float:
    begin = time.perf_counter()
    found = trial(way)
    if found.is_cuda:
        torch.cuda.synchronize(found.device)
    return time.perf_counter() - begin


def _disagreement(found: Tensor, wanted: Tensor) -> str | None:
    gap, size = float((found - wanted).abs().max()), float(wanted.abs().max())
    exact = not wanted.is_floating_point()
    if gap <= (0 if exact else AGREEMENT * size) or not size < float("inf"):
        return None
    return f"its result differs from plain PyTorch by {gap:.2g} where the largest value is {size:.2g}"
