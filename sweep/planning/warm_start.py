"""Ledgers of earlier sweeps -> results for warm-starting a searcher."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sweep.config.hyperparameters import restored
from sweep.core.conditions import Config
from sweep.core.errors import InputError
from sweep.core.means import mean_of_known
from sweep.core.storage import Storage
from sweep.search.candidate import Values
from sweep.store.ledger import FOLDER, Event, read_ledger


def earlier_results(runs: Iterable[str | Path], metrics: Sequence[str]) -> list[tuple[Config, Values]]:
    """Every configuration that finished in `runs`, with the mean of each objective over its seeds; None where no seed has it.

    Raises InputError for a run without records.
    """
    return [result for run in runs for result in _results(_finished(run), metrics)]


def _finished(run: str | Path) -> list[Event]:
    storage = Storage(run)
    if not storage.names(FOLDER):
        raise InputError(
            "searcher.warm_start", f"{run} holds no records", "name the folder of a sweep that ran, like results/ratio"
        )
    return list(read_ledger(storage).finished().values())


def _results(finished: Iterable[Event], metrics: Sequence[str]) -> list[tuple[Config, Values]]:
    by_signature: dict[str, list[Event]] = {}
    for event in finished:
        by_signature.setdefault(event["signature"], []).append(event)
    return [
        (
            restored(events[0]["config"]),
            [mean_of_known(event["metrics"].get(name) for event in events) for name in metrics],
        )
        for events in by_signature.values()
    ]
