"""Durations as words, the same everywhere: on the terminal, in the report, in estimates."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """'0.4 s', '42 s', '3 min 10 s', '5 h 12 min', '2 d 3 h'."""
    whole = round(seconds)
    if seconds < 9.95 and f"{seconds:.1f}" != f"{whole}.0":
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
