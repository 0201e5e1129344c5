"""Tables of a data set as text: .xlsx or separated values, within limits, with errors that name file, row and column."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.core.bounded import bounded
from sweep.core.errors import InputError, suggestion
from sweep.importers.walk import is_file

MAX_ROWS, MAX_COLUMNS, MAX_CELL = 2_000_000, 2_000, 100_000  # characters of a cell
MAX_BYTES = 512 << 20  # of a text file, or of a spreadsheet once unpacked
_HEADER_WITHIN = 100  # rows, of a sheet that is looked at to choose one
_SECONDS = 120.0  # for one table; a spreadsheet of 100,000 rows takes about ten
_DELIMITERS = (",", ";", "\t", "|")
_SPREADSHEETS = (".xlsx", ".xlsm")
_OLD_EXCEL, _ZIP = b"\xd0\xcf\x11\xe0", b"PK\x03\x04"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1b")  # bytes that no text holds
_FIX = "restore it from the archive"


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A spreadsheet (.xlsx) or a table of values separated by comma, semicolon, tab or bar, as stripped text; '' where a cell is empty.

    The index is the row number as a spreadsheet shows it (the header is row 1); rows without any text are left out. Raises
    InputError when the file cannot be read within the limits above, holds no row, lacks one of `columns` or has it twice.
    """
    if path.is_dir():
        raise InputError(path, "a folder, not a table", "give the path of the table")
    if not is_file(path):
        raise InputError(path, "there is no such file", "give the path of the table")
    if path.suffix.lower() in _SPREADSHEETS:  # unpacked and parsed in the child process: zip and XML can hold anything
        rows = bounded(table_rows, path, list(columns), where=path, seconds=_SECONDS, fix=_FIX)
    else:
        rows = table_rows(path, columns)
    header, numbers, cells = rows["header"], rows["numbers"], rows["cells"]
    for column in columns:
        if column not in header:
            fix = f"name the column so; {suggestion(column, [name for name in header if name])}"
            raise InputError(f"{path}, row 1", f"no column {column!r}", fix)
        if header.count(column) > 1:
            raise InputError(f"{path}, row 1", f"the column {column!r} comes twice", "rename or remove one of them")
    if not cells:
        raise InputError(path, "the table has no rows", _FIX)
    kept = [
        place for place, name in enumerate(header) if header.count(name) == 1
    ]  # the others cannot be asked for by name
    return pd.DataFrame(
        [[row[place] for place in kept] for row in cells],
        columns=[header[place] for place in kept],
        index=pd.Index(numbers),
        dtype=str,
    )


def table_rows(path: Path, columns: Sequence[str]) -> dict[str, list]:
    """header, numbers (of the rows) and cells of a table; `columns` decide between separators."""
    try:
        rows = _spreadsheet(path, columns) if path.suffix.lower() in _SPREADSHEETS else _separated(path, columns)
        return _whole(path, rows)
    except InputError:
        raise
    except PermissionError:
        raise InputError(path, "no permission to read it", "change its permissions") from None
    except MemoryError:
        raise
    except csv.Error as broken:  # what a quote that is never closed leads to, above all
        raise InputError(path, f"cannot be read as a table ({broken})", "close the quotes of its cells") from None
    except Exception as broken:  # noqa: BLE001 - every reader has errors of its own: zip, XML, csv
        reason = " ".join(str(broken).split()) or type(broken).__name__
        raise InputError(path, f"cannot be read as a table ({reason})", _FIX) from None


def _whole(path: Path, rows: Iterator[tuple[int, list[str]]]) -> dict[str, list]:
    """Rows padded to the header's width; InputError for one that is wider, or for a table beyond the limits."""
    header: list[str] = []
    numbers: list[int] = []
    cells: list[list[str]] = []
    for number, row in rows:
        row = [cell.strip() for cell in row]
        if not header:
            header = _trimmed(row)
            if len(header) > MAX_COLUMNS:
                raise InputError(path, f"{len(header):,} columns", f"give a table of at most {MAX_COLUMNS:,}")
            continue
        if not any(row):
            continue
        if len(_trimmed(row)) > len(header):
            problem = f"{len(_trimmed(row))} cells for {len(header)} columns"
            raise InputError(f"{path}, row {number}", problem, "put cells that hold the separator in quotes")
        if len(cells) == MAX_ROWS:
            raise InputError(path, f"more than {MAX_ROWS:,} rows", "give a smaller table")
        numbers.append(number)
        cells.append([*row[: len(header)], *[""] * (len(header) - len(row))])
    return {"header": header, "numbers": numbers, "cells": cells}


def _trimmed(row: Sequence[str]) -> list[str]:
    """Without the empty cells at its end."""
    last = max((place for place, cell in enumerate(row) if cell), default=-1)
    return list(row[: last + 1])


def _separated(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(path, f"larger than {MAX_BYTES >> 20} MiB", "give a smaller table")
    _refuse_binary(path)
    text = _text(path)
    csv.field_size_limit(MAX_CELL)
    first, _, rest = text.partition("\n")
    if first.strip().lower()[:4] == "sep=" and len(first.strip()) == 5:  # how Excel names the separator
        delimiter, text = first.strip()[4], rest
    else:
        delimiter = max(_DELIMITERS, key=lambda mark: _found(text, mark, columns))
    yield from enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), start=1)


def _refuse_binary(path: Path) -> None:
    """InputError for a spreadsheet whose suffix is not .xlsx: as text it would be called damaged."""
    with open(path, "rb") as stream:
        head = stream.read(512)
    wide = head[:2] in _UTF_16
    if head.startswith(_OLD_EXCEL):
        raise InputError(path, "a spreadsheet of Excel 97", "save it as .xlsx or .csv")
    if head.startswith(_ZIP):
        raise InputError(
            path, "a spreadsheet or another archive", "name it .xlsx if it is one; save an .ods as .xlsx or .csv"
        )
    if not wide and len(set(head) & _CONTROL) > 2 and head.count(0) * 4 < len(head):  # text of 16 bits has more zeros
        raise InputError(path, "not text, and so no table", "give the .csv or .xlsx file that holds the table")


def _found(text: str, delimiter: str, columns: Sequence[str]) -> tuple[int, int]:
    """How many of the wanted columns the header has under this separator, and how many columns at all."""
    try:
        line = next(csv.reader(io.StringIO(text[: MAX_CELL * 2], newline=""), delimiter=delimiter), [])
    except csv.Error:
        return 0, 0
    names = {name.strip() for name in line}
    return sum(column in names for column in columns), len(line)


def _text(path: Path) -> str:
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in _UTF_16 else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as wrong:
        raise InputError(path, f"not UTF-8 text (byte {wrong.start})", "save it as UTF-8") from None
    if "\0" in text:
        raise InputError(
            path,
            f"no text: it holds a zero byte (character {text.index(chr(0))})",
            "remove it, or save the table as UTF-8",
        )
    return text


def _spreadsheet(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    import openpyxl

    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise InputError(path, f"larger than {MAX_BYTES >> 20} MiB when unpacked", "give a smaller table")
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # the declared size is not to be trusted: a row would be filled up to it
    sheet = _chosen_sheet(path, book.worksheets, columns)
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        if len(row) > MAX_COLUMNS and any(cell is not None for cell in row[MAX_COLUMNS:]):
            raise InputError(
                f"{path}, row {number}", f"{len(row):,} columns", f"give a table of at most {MAX_COLUMNS:,}"
            )
        yield number, [_cell(value) for value in row]


def _chosen_sheet(path: Path, sheets: Sequence[Any], columns: Sequence[str]) -> Any:
    """The one sheet that has the wanted columns, the first one where none has; InputError where several have."""
    if not sheets:
        raise InputError(path, "no sheet with cells in it", _FIX)
    fitting = [sheet for sheet in sheets if set(columns) <= _header_of(sheet)]
    if len(fitting) > 1:
        names = ", ".join(repr(sheet.title) for sheet in fitting[:3])
        raise InputError(path, f"the sheets {names} all have the columns {', '.join(columns)}", "leave one of them")
    return fitting[0] if fitting else sheets[0]


def _header_of(sheet: Any) -> set[str]:
    """The names in the first row that holds text, as `_whole` finds it."""
    for row in sheet.iter_rows(values_only=True, max_row=_HEADER_WITHIN):
        names = {_cell(value).strip() for value in row[:MAX_COLUMNS]}
        if names - {""}:
            return names
    return set()


def _cell(value: object) -> str:
    """A cell as a spreadsheet shows it: 3 and not 3.0, and a number of more than the 15 digits that it keeps shortened."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and abs(value) >= 1e15:
        return f"{value:.5E}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def choice(value: str, allowed: Iterable[str], where: str) -> str:
    """`value` in lower case if it is one of `allowed`, else InputError at `where`."""
    known = list(allowed)
    if value.lower() not in known:
        raise InputError(where, f"{value!r} is none of the classes", f"write one of {', '.join(known)}")
    return value.lower()


def read_words(path: Path) -> set[str]:
    """The words of a text file; InputError when it is no UTF-8 text."""
    try:
        return set(path.read_text(encoding="utf-8").split())
    except UnicodeDecodeError as wrong:
        raise InputError(path, f"not UTF-8 text (byte {wrong.start})", "save it as UTF-8") from None
