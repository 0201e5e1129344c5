"""What computes here: the GPU or CPU of a process, as plain values for records, and the arithmetic of its float32 products."""

from __future__ import annotations

import platform
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_GIB = 2**30
_NVIDIA_SMI_TIMEOUT_S = 10


def device_facts(device: str, precision: str | None = None) -> dict[str, Any]:
    """Model, software and arithmetic of `device` (cpu, cuda or cuda:N); imports torch.

    A GPU: name, memory, compute capability, and the versions of its driver, CUDA and cuDNN. A CPU: name and the vector
    instructions that torch uses. Two records with different facts may differ in the last bits for that reason alone.
    """
    facts = _gpu(device) if device.startswith("cuda") else _cpu()
    return {**facts, "precision": precision} if precision else dict(facts)


def started_device(gpu: bool) -> str:
    """The device that a worker trains on: "cuda" where a GPU is its own and torch can use it, else "cpu"; imports torch.

    A GPU is initialised (driver context, cuBLAS, cuDNN: seconds) by a thread, while the caller reads its data. A failure there
    is met again, and reported, by the first use of the device.
    """
    import torch

    if not (gpu and torch.cuda.is_available()):
        return "cpu"
    threading.Thread(target=_initialise_gpu, name="gpu-start", daemon=True).start()
    return "cuda"


def _initialise_gpu() -> None:
    import torch

    with suppress(RuntimeError):
        image, kernel = torch.zeros(1, 1, 8, 8, device="cuda"), torch.zeros(1, 1, 3, 3, device="cuda")
        torch.nn.functional.conv2d(image, kernel)
        torch.mm(image[0, 0], image[0, 0])
        torch.cuda.synchronize()


def same_device(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two records were computed by the same kind of hardware and software."""
    return {**first, "precision": None} == {**second, "precision": None}


def device_text(facts: dict[str, Any]) -> str:
    """One device in words, for a message."""
    versions = [f"{name} {facts[name]}" for name in ("driver", "cuda", "cudnn") if facts.get(name)]
    return ", ".join(
        [str(facts.get("name", "unknown")), *versions, *([facts["features"]] if "features" in facts else [])]
    )


@contextmanager
def float32_products(device: torch.device | str, mode: str) -> Iterator[None]:
    """Convolutions and matrix products of float32 tensors on a GPU as `mode` says inside the block: "ieee" or "tf32".

    TF32 keeps 10 bits of each factor. PyTorch's default is TF32 for convolutions and IEEE for matrix products, so what is
    called float32 would be neither. Does nothing on a CPU.
    """
    import torch

    if torch.device(device).type != "cuda":
        yield
        return
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    places: tuple[Any, ...] = (cuda.matmul, cudnn.conv)  # type: ignore[attr-defined]  # made at import
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = mode
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def cpu_features() -> str:
    """Vector instructions that torch uses here, as in "AVX2" or "AVX512 with bf16"."""
    import torch

    capability = str(torch.backends.cpu.get_cpu_capability())
    # The probes are private to torch and may disappear; the bare capability is then reported.
    bf16 = [
        name for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported") if getattr(torch.cpu, name, bool)()
    ]
    return f"{capability} with bf16" if bf16 else capability


@cache
def _cpu() -> dict[str, Any]:
    return {"type": "cpu", "name": _cpu_name(), "features": cpu_features()}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


@cache
def _gpu(device: str) -> dict[str, Any]:
    import torch

    found = torch.cuda.get_device_properties(torch.device(device))
    return {
        "type": "cuda",
        "name": found.name,
        "memory_gib": round(found.total_memory / _GIB, 1),
        "capability": f"{found.major}.{found.minor}",
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


@cache
def _driver() -> str | None:
    """Version of the NVIDIA driver; None where nvidia-smi is not installed."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return next(iter(found.stdout.split()), None)
