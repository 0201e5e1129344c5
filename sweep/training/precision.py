"""Precision of the forward pass, chosen by what the hardware supports."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from sweep.core.devices import float32_products


def bf16_is_fast(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware; emulated bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return any(_cpu_has(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return False


def resolved_precision(device: torch.device | str, precision: str) -> str:
    """bf16 or fp32: what `precision` auto, bf16 or fp32 means on `device`."""
    device = torch.device(device)
    return "bf16" if precision == "bf16" or (precision == "auto" and bf16_is_fast(device)) else "fp32"


def autocast(device: torch.device | str, precision: str) -> AbstractContextManager:
    """Context of the forward pass for `precision` auto, bf16 or fp32; fp32 also undoes an outer autocast."""
    device = torch.device(device)
    enabled = resolved_precision(device, precision) == "bf16"
    # A captured step must cast the weights at every replay: a cached cast would keep those of the capture.
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=device.type != "cuda")


def training_products(device: torch.device | str, precision: str) -> AbstractContextManager:
    """Arithmetic of float32 products on a GPU: IEEE float32 for fp32, TF32 for the few that bf16 autocast leaves in float32."""
    return float32_products(device, "tf32" if resolved_precision(device, precision) == "bf16" else "ieee")


def _cpu_has(probe: str) -> bool:
    # The probes are private to torch and may disappear; float32 is then the safe choice.
    return bool(getattr(torch.cpu, probe, lambda: False)())
