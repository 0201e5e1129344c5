"""Labels as people write them: two spellings of one class are refused, never merged or kept apart by a guess."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from sweep.core.errors import InputError


def same_class(label: str) -> str:
    """Equal for labels that differ only in capitals, spaces, underscores, hyphens, Unicode form or decimal zeros (1, 1.0, 01)."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    words = "".join(" " if letter in "_-\u2010\u2011\u2013" else letter for letter in folded).split()
    text = " ".join(words)
    try:
        return f"{float(label.strip()):g}"
    except ValueError:
        return text


def check_spellings(labels: Iterable[str], where: str | Path) -> None:
    """InputError when two of `labels` seem to be one class; `where` names the column or the folder that they stand in."""
    seen: dict[str, str] = {}
    for label in labels:
        before = seen.setdefault(same_class(label), label)
        if before != label:
            problem = f"{before!r} and {label!r} look like one class in two spellings"
            raise InputError(where, problem, "write both alike, or give them names that differ in more than spelling")
