"""Values as cells of a CSV file that a spreadsheet opens without harm."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """The value; nothing for None or NaN, and text that a spreadsheet would run as a formula with an apostrophe before it."""
    if value is None or value != value:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
