"""Durations as words, the same everywhere: on the terminal, in the report, in estimates."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """'0.4 s', '42 s', '3 min 10 s', '5 h 12 min', '2 d 3 h'; a smaller unit of zero is left out: '5 min', '2 h'."""
    whole = round(seconds)
    if seconds < 9.95 and f"{seconds:.1f}" != f"{whole}.0":
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _joined(whole // _MINUTE, "min", whole % _MINUTE, "s")
    if whole < 2 * _DAY:
        return _joined(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")
    return _joined(whole // _DAY, "d", whole % _DAY // _HOUR, "h")


def _joined(large: int, unit: str, small: int, smaller_unit: str) -> str:
    return f"{large} {unit}" + (f" {small} {smaller_unit}" if small else "")
