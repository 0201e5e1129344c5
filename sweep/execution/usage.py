"""Memory and GPU that a worker uses now, for the live view; a fact that this machine does not tell is left out."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE")
GB = 1e9


def usage() -> dict[str, float]:
    """`memory` of this process in bytes; of the GPU that it has opened `gpu_memory` and `gpu_total` in bytes (of all its processes)
    and `gpu_busy`, the share of the last moments in which a kernel ran."""
    found: dict[str, float] = {}
    if (memory := _resident()) is not None:
        found["memory"] = memory
    torch = sys.modules.get("torch")  # a process that has not imported it has no GPU open
    if torch is not None and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        found |= {"gpu_memory": float(total - free), "gpu_total": float(total)}
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        if (busy := _busy(f"GPU-{properties.uuid}")) is not None:
            found["gpu_busy"] = busy
    return found


def machine_memory() -> tuple[float, float] | None:
    """(used, all) bytes of this machine's memory; None where /proc does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (float(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    return total - free, total


def text_of(facts: dict[str, Any]) -> str:
    """'1.2 GB' and, with a GPU, 'GPU 12.0 of 80.0 GB, 93 % busy'; empty where nothing is known."""
    words = [f"{facts['memory'] / GB:.1f} GB"] if "memory" in facts else []
    if "gpu_total" in facts:
        words.append(f"GPU {facts['gpu_memory'] / GB:.1f} of {facts['gpu_total'] / GB:.1f} GB")
    if "gpu_busy" in facts:
        words.append(f"{100 * facts['gpu_busy']:.0f} % busy")
    return ", ".join(words)


def _resident() -> float | None:
    try:
        return float(int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE)
    except (OSError, IndexError, ValueError):
        return None


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


@cache
def _library() -> ctypes.CDLL | None:
    """NVML, which comes with the driver: initialised; None where there is none."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    return library if library.nvmlInit_v2() == 0 else None


@cache
def _handle(uuid: str) -> ctypes.c_void_p | None:
    """NVML's handle of a GPU; by its UUID, because CUDA_VISIBLE_DEVICES renumbers GPUs and NVML does not heed it."""
    library, handle = _library(), ctypes.c_void_p()
    if library is None or library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) != 0:
        return None
    return handle


def _busy(uuid: str) -> float | None:
    library, handle, rates = _library(), _handle(uuid), _Utilization()
    if library is None or handle is None or library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates)) != 0:
        return None
    return rates.gpu / 100
