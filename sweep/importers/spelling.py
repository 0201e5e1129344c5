"""Labels as people write them: two spellings of one class are refused, never merged or kept apart by a guess."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from sweep.core.errors import InputError

# As pandas, R, SQL and spreadsheets write a missing value; not "none" or "unknown", which are classes of some data sets.
_NUMBER = re.compile(r"[+-]?\d{1,25}([.,]\d{1,10})?")
# How spreadsheets and pandas show a number of more digits than they keep: 1.23E+15 stands for a billion others.
_SHORTENED = re.compile(r"\d([.,]\d+)?E[+-]\d{2,3}", re.IGNORECASE)
_MISSING = frozenset(
    (
        "",
        "--",
        "\u2013",
        "\u2014",
        ".",
        "nan",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "nat",
        "null",
        "missing",
        "?",
        "#ref!",
        "#value!",
        "#name?",
        "#div/0!",
    )
)


# Words of tables that always mean one class.
_WORDS = (
    ("1", "yes", "y", "true", "t", "positive", "pos", "+"),
    ("0", "no", "n", "false", "f", "negative", "neg"),
    ("malignant", "malign", "m"),
    ("benign", "b"),
    ("abnormal", "abn"),
)
_ONE_WORD = {word: words[0] for words in _WORDS for word in words}
# Cyrillic and Greek letters that look like Latin ones, as keyboards of two alphabets mix them.
_LOOKALIKES = str.maketrans("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u03bd", "aeopcyxijsov")
_JOINT = re.compile(r"\s*[;,|/&+]\s*")


def same_class(label: str) -> str:
    """Equal for labels that differ only in capitals, spaces, underscores, hyphens, Unicode form how a number is written (1, 1.0, 1,0, 01), letters
    of another alphabet that look alike, or characters that are not shown."""
    folded = unicodedata.normalize("NFKC", label).casefold().translate(_LOOKALIKES)
    folded = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")  # invisible characters
    words = "".join(" " if letter in "_-\u2010\u2011\u2013" else letter for letter in folded).split()
    text = " ".join(words)
    number = _NUMBER.fullmatch(label.strip())  # not float: it takes 12e400 for infinity, and its text is rounded
    return str(Decimal(label.strip().replace(",", ".")).normalize()) if number else text


def check_spellings(labels: Iterable[str], where: str | Path, what: str = "class") -> None:
    """InputError when two of `labels` seem to be one class (or patient, or scanner: `what`); `where` names their column or folder.

    Of one class two spellings would make two; of one patient they would lie on both sides of a split. A number that a spreadsheet has
    shortened is refused too: two patients would be one. What means a missing value is no spelling of anything.
    """
    labels = sorted(label for label in set(labels) if not means_nothing(label))
    _refuse_shortened(labels, where, what)
    seen: dict[str, str] = {}
    for label in labels:
        key = same_class(label)
        before = seen.setdefault(_ONE_WORD.get(key, key) if what == "class" else key, label)
        if before != label:
            shown = f"{before!r} and {label!r}" if (before + label).isascii() else f"{before!a} and {label!a}"
            problem = f"{shown} look like one {what} in two spellings"
            raise InputError(where, problem, "write both alike, or give them names that differ in more than spelling")
    if what == "class":
        _refuse_joined(seen, where)
        if "-" in seen.values() and "+" not in seen.values():
            problem = "'-' may mean a missing value or a negative finding"
            raise InputError(where, problem, "leave the cell empty, or spell the class out")


def _refuse_shortened(labels: Iterable[str], where: str | Path, what: str) -> None:
    shortened = next((label for label in labels if _SHORTENED.fullmatch(label.strip())), None)
    if shortened is not None:
        problem = f"{shortened!r} is a long number that a spreadsheet has shortened: each {what} of these digits would be the same"
        raise InputError(where, problem, "format the column as text where the numbers are whole, and export it again")


def _refuse_joined(seen: Mapping[str, str], where: str | Path) -> None:
    """InputError for a label that names several other classes at once: `seen` by their spelling."""
    for label in seen.values():
        parts = [same_class(part) for part in _JOINT.split(label)]
        if len(parts) > 1 and all(_ONE_WORD.get(part, part) in seen for part in parts):
            fix = (
                "give each image one class, or a column of 0 and 1 for each finding to an importer of several findings"
            )
            raise InputError(where, f"{label!r} names several of the other classes", fix)


def means_nothing(cell: str) -> bool:
    """Whether a cell or a name is how a program writes a missing value: blank, nan, N/A, #REF!, ..."""
    return cell.strip().casefold() in _MISSING
