"""The papers' tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass

from analysis import csv_cells
from analysis.intervals import Interval


@dataclass(frozen=True)
class Cell:
    """This run's number in per cent with its interval, the printed one, and the constant predictor's; None where absent."""

    ours: Interval | None = None
    printed: float | None = None
    constant: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of a paper: its name, what its numbers are, columns, and labelled rows of cells."""

    key: str
    title: str
    measure: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def as_csv(table: Table) -> str:
    """One line a cell, for programs: numbers are shares, not per cent."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "column", "estimate", "low", "high", "images", "seeds", "printed", "constant"])
    for label, cells in table.rows:
        for column, cell in zip(table.columns, cells, strict=True):
            beside = (None if cell.printed is None else round(cell.printed / 100, 6), cell.constant)
            writer.writerow(
                [csv_cells.cell(label), csv_cells.cell(column), *_shares(cell.ours), *map(csv_cells.cell, beside)]
            )
    return stream.getvalue()


def _shares(made: Interval | None) -> list[object]:
    if made is None:
        return [""] * 5
    numbers = [f"{value:.6f}" if value == value else "" for value in (made.estimate, made.low, made.high)]
    return [*numbers, made.images, made.seeds]


def as_markdown(table: Table) -> str:
    """A table to read: estimate [interval], printed number in round brackets."""

    def line(parts: Iterable[str]) -> str:
        return "| " + " | ".join(_plain(part) for part in parts) + " |\n"

    body = "".join(line([label, *(_text(cell) for cell in cells)]) for label, cells in table.rows)
    rule = line(["---", *("--:" for _ in table.columns)])
    return f"**{_plain(table.title)}**: {_legend(table)}\n\n{line([table.corner, *table.columns])}{rule}{body}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([|*_`\[\]<>])", r"\\\1", text) if re.search(r"[|*`<>]", text) else text


def as_latex(table: Table) -> str:
    """A booktabs table for a paper."""
    rows = "".join(
        f"{_latex(label)} & {' & '.join(_latex(_text(cell)) for cell in cells)} \\\\\n" for label, cells in table.rows
    )
    head = " & ".join(_latex(name) for name in (table.corner, *table.columns))
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{_latex(table.title + ': ' + _legend(table))}}}\n\\begin{{tabular}}{{l{'r' * len(table.columns)}}}\n"
        f"\\toprule\n{head} \\\\\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


FORMATS = {"csv": as_csv, "md": as_markdown, "tex": as_latex}


def _legend(table: Table) -> str:
    constants = sorted(
        {round(100 * cell.constant, 1) for _, cells in table.rows for cell in cells if cell.constant is not None}
    )
    beside = f" The constant predictor scores {' or '.join(f'{value:g}' for value in constants)}." if constants else ""
    printed = any(cell.printed is not None for _, cells in table.rows for cell in cells)
    paper = "; in round brackets the number printed in the paper, on its own data" if printed else ""
    return f"{table.measure} in per cent with its 95 % interval{paper}.{beside}"


def _text(cell: Cell) -> str:
    ours = (
        f"{100 * cell.ours.estimate:.1f} [{100 * cell.ours.low:.1f}, {100 * cell.ours.high:.1f}]"
        if cell.ours and cell.ours.estimate == cell.ours.estimate
        else ""
    )
    return " ".join(filter(None, [ours, f"({cell.printed:.1f})" if cell.printed is not None else ""])) or "-"


def _latex(text: str) -> str:
    marks = {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    return "".join(marks.get(letter, letter) for letter in text)
