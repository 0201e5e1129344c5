"""Counts and shares as words, the same in the terminal and in reports."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """'1 seed', '5 seeds'; `noun` takes a plain s."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def percent(share: float, digits: int = 0) -> str:
    """A share as '95 %', or with `digits` decimals."""
    return f"{100 * share:.{digits}f} %"
