"""How a trial is named on a command line: by the start of its signature, by its row number in the ranking, or `best`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sweep.core.errors import InputError, suggestion
from sweep.core.storage import Storage
from sweep.store.ledger import read_ledger

if TYPE_CHECKING:
    from analysis.frames import Run

BEST = "best"
_NAMED = 6  # candidates that an ambiguous start is answered with
_FEW_DRAWS = 50  # the order needs no intervals
SHORTEST = 6  # characters of a short id; fewer digits than that are a row number
TRIAL_HELP = "Trial: the start of its signature, its row number in the ranking of recipe-finder rank, or best."


def trial_signature(run: str, name: str) -> str:
    """Signature of the finished trial that `name` means in a run folder; InputError where it means none or several."""
    finished = list(dict.fromkeys(signature for signature, _ in read_ledger(Storage(run), ("finish",)).finished()))
    if not finished:
        raise InputError(run, "holds no finished record", "name the folder of a sweep that ran")
    if not _is_place(name):
        return unique_start(name, finished, run)
    from analysis.frames import load_run  # pandas and the statistics: only where the ranking is asked

    return ranked_signature(load_run(run), name)


def ranked_signature(run: Run, name: str) -> str:
    """Signature at `name`, a row number or `best`, of the ranking by the default rule."""
    from analysis.estimates import Estimates
    from analysis.ranking import rank

    number = 1 if name == BEST else int(name)
    rows = len(run.means)
    if not 1 <= number <= rows:
        raise InputError(f"{run.storage.url}, {name}", f"the ranking has {rows} rows", f"give a row from 1 to {rows}")
    ranked = rank(run, top=number, estimates=Estimates(run, draws=_FEW_DRAWS)).rows
    return next(row.signature for row in ranked if row.rank == number)  # of several conditions, in the first


def find_signature(run: Run, name: str) -> str:
    """As `trial_signature`, for a run that is loaded already."""
    if _is_place(name):
        return ranked_signature(run, name)
    return unique_start(name, list(run.means.index), run.storage.url)


def unique_start(start: str, signatures: Sequence[str], where: str) -> str:
    """The one signature that begins with `start`."""
    found = [signature for signature in signatures if signature.startswith(start)] if start else []
    if len(found) == 1:
        return found[0]
    short = short_names(signatures)
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        listed = ", ".join(short[signature] for signature in sorted(found)[:_NAMED]) + more
        raise InputError(f"{where}, {start}", f"{len(found)} trials begin with it", f"give more of it: {listed}")
    raise InputError(
        f"{where}, {start}",
        "no finished trial begins with it",
        f"{suggestion(start, short.values())}; a row number of the ranking or {BEST} name one too",
    )


def short_names(signatures: Iterable[str]) -> dict[str, str]:
    """signature -> its shortest start that no other has, at least SHORTEST characters."""
    ordered = sorted(set(signatures))
    short = {}
    for place, signature in enumerate(ordered):
        beside = ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]
        shared = max((_shared(signature, other) for other in beside), default=0)
        short[signature] = signature[: max(SHORTEST, shared + 1)]
    return short


def _shared(one: str, other: str) -> int:
    """Length of the common start."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _is_place(name: str) -> bool:
    return name == BEST or (name.isdecimal() and len(name) < SHORTEST)
