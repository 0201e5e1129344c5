"""Labels as people write them: two spellings of one class are refused, never merged or kept apart by a guess."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from sweep.core.errors import InputError

# As pandas, R, SQL and spreadsheets write a missing value; not "none" or "unknown", which are classes of some data sets.
_NUMBER = re.compile(r"[+-]?\d{1,25}([.,]\d{1,10})?")
_MISSING = frozenset(
    ("", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "missing", "?", "#ref!", "#value!", "#name?", "#div/0!")
)


def same_class(label: str) -> str:
    """Equal for labels that differ only in capitals, spaces, underscores, hyphens, Unicode form or how a number is written (1, 1.0, 1,0, 01)."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    words = "".join(" " if letter in "_-\u2010\u2011\u2013" else letter for letter in folded).split()
    text = " ".join(words)
    number = _NUMBER.fullmatch(label.strip())  # not float: it takes 12e400 for infinity, and its text is rounded
    return str(Decimal(label.strip().replace(",", ".")).normalize()) if number else text


def check_spellings(labels: Iterable[str], where: str | Path, what: str = "class") -> None:
    """InputError when two of `labels` seem to be one class (or patient, or scanner: `what`); `where` names their column or folder.

    Of one class two spellings would make two; of one patient they would lie on both sides of a split.
    """
    seen: dict[str, str] = {}
    for label in sorted(set(labels) - {""}):
        before = seen.setdefault(same_class(label), label)
        if before != label:
            problem = f"{before!r} and {label!r} look like one {what} in two spellings"
            raise InputError(where, problem, "write both alike, or give them names that differ in more than spelling")


def means_nothing(cell: str) -> bool:
    """Whether a cell or a name is how a program writes a missing value: blank, nan, N/A, #REF!, ..."""
    return cell.strip().casefold() in _MISSING
