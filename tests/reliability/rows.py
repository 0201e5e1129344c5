"""The rows of the reliability table: a claim, how many seeded cases try it, and the time limit of one case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RunCase = Callable[[int, Path], None]
"""Runs the case of a number in an empty folder; raises AssertionError with what went wrong."""


@dataclass(frozen=True)
class Row:
    """One row. `quick` cases are the first ones of `full`; `together` of them share a process, and with it what it has loaded.

    A case makes `faults` faults, one after another.
    """

    id: str
    claim: str
    full: int
    quick: int
    limit_s: float  # of one case on two quiet cores
    run: RunCase
    together: int = 1
    faults: int = 1

    def cases(self, quick: bool) -> range:
        """The numbers of the cases."""
        return range(self.quick if quick else self.full)


def all_rows() -> dict[str, Row]:
    """Every row by its id, cheap ones first."""
    from tests.reliability import drivers, existing_tests, ledger_damage, lost_machines, lost_workers, poison

    rows = (
        *ledger_damage.ROWS,
        *drivers.ROWS,
        *poison.ROWS,
        *lost_workers.ROWS,
        *existing_tests.ROWS,
        *lost_machines.ROWS,
    )
    return {row.id: row for row in rows}
