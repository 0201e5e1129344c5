"""Lookup tables of DICOM headers -> arrays: what the descriptors of PS3.3 C.11.1 and C.7.6.3.1.5 promise, checked against their data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError

_ALL = 1 << 16  # entries, where the descriptor says 0
_WORD_TOP, _BYTE_TOP = 65535, 255
_LEAST_SHARE = 1 / 16  # of the declared range that the brightest entry reaches: below it the image would be black
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class LookupTable:
    """Entry i stands for the value `first` + i; values below and above have the first and the last entry. `top` is white."""

    first: int
    entries: np.ndarray
    top: int

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Shares of white, float64, of whole-number `values`."""
        places = np.clip(np.rint(values).astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[places] / float(self.top)


def voi_table(item: Any, lowest: float, big_endian: bool, path: Path, fix: str) -> LookupTable:
    """The VOI lookup table of a sequence item; `lowest` is the least value that is looked up in it.

    A first value above 32,767 is negative where values may be: it is written without its sign. Raises InputError at `path` with `fix`
    when the table is empty, or its entries are not of the number of bits that the descriptor says.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = _entries(item.get("LUTData"), count or _ALL, bits, big_endian)
    top = 2**bits - 1
    if not len(entries) or not 1 <= bits <= 16:
        raise InputError(path, f"a VOI lookup table of {len(entries)} entries of {bits} bits", fix)
    brightest = int(entries.max())
    if brightest > top or brightest < top * _LEAST_SHARE:
        problem = f"the VOI lookup table declares {bits} bits, and its largest entry is {brightest:,}"
        raise InputError(path, problem, fix)
    return LookupTable(first - _ALL if first >= _ALL // 2 and lowest < 0 else first, entries, top)


def _entries(data: Any, count: int, bits: int, big_endian: bool) -> np.ndarray:
    """At most `count` entries: of a byte each where the data are that short, else of two."""
    if isinstance(data, bytes):
        if bits <= 8 and len(data) < 2 * count:
            return np.frombuffer(data, np.uint8)[:count]
        words = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big_endian else "<u2")
        return words[:count]
    return np.atleast_1d(np.array([] if data is None else data, dtype=np.int64))[:count]


def palette_top(header: Any) -> int:
    """White in the colours that a palette of 16-bit words gives: 255 where every word is that small, as some scanners write them."""
    tables = [header.get(f"{colour}PaletteColorLookupTableData") for colour in _COLOURS]
    if any(not isinstance(table, bytes) or len(table) < 2 for table in tables):
        return _WORD_TOP
    brightest = max(int(np.frombuffer(table[: len(table) // 2 * 2], "<u2").max()) for table in tables)
    return _BYTE_TOP if brightest <= _BYTE_TOP else _WORD_TOP
