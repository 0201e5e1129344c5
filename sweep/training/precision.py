"""Precision of the forward pass, chosen by what the hardware supports."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def bf16_is_fast(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware; emulated bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return any(_cpu_has(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return False


def autocast(device: torch.device | str, precision: str) -> AbstractContextManager:
    """Context of the forward pass for `precision` auto, bf16 or fp32; fp32 also undoes an outer autocast."""
    device = torch.device(device)
    enabled = precision == "bf16" or (precision == "auto" and bf16_is_fast(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _cpu_has(probe: str) -> bool:
    # The probes are private to torch and may disappear; float32 is then the safe choice.
    return bool(getattr(torch.cpu, probe, lambda: False)())
