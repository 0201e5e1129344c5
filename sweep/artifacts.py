"""List the artifacts of a run folder that no configuration of its sweep config or ledger needs; --delete removes them.

python -m sweep.artifacts results/ratio [--keep generator] [--keep 3fa9] [--delete]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sweep.config.hyperparameters import restored
from sweep.core.command_line import Command
from sweep.core.durations import duration
from sweep.core.errors import EXIT_COMPLETE, InputError, suggestion
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data
from sweep.pipeline.stages import needed_stages
from sweep.planning.plan import make_plan
from sweep.shards.schema import MANIFEST
from sweep.store.artifact_store import FOLDER, META
from sweep.store.ledger import Reading, read_ledger
from sweep.store.run_folder import SPACE_FILE, held, read_config
from sweep.store.trial import Trial

_console = Console(highlight=False)
DATA, UNFINISHED = "data", "unfinished"  # kinds of folders that are no stage's artifact


@dataclass(frozen=True)
class Artifact:
    """One folder under artifacts/: its kind and description, and what needs it; unneeded when `kept_by` is empty."""

    name: str
    kind: str
    about: str
    kept_by: str


def artifacts_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="KIND|NAME",
            help="A kind (generator, pool, ...) or the start of a name to keep although nothing needs it; may be repeated.",
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what nothing needs; without it, artifacts are only listed.")
    ] = False,
) -> int:
    """List the artifacts of a run folder and what needs them; remove those that no configuration needs."""
    return _collect(Storage(run), keep or [], delete)


def _collect(run: Storage, keep: Sequence[str], delete: bool) -> int:
    if not delete:
        _print(found := artifacts(run, keep))
        idle = sum(not one.kept_by for one in found)
        _console.print(f"{idle} of {len(found)} are needed by nothing" + ("; --delete removes them" if idle else ""))
        return EXIT_COMPLETE
    gone = collect(run, keep)
    _print(gone)
    _console.print(f"{len(gone)} removed")
    return EXIT_COMPLETE


def artifacts(run: Storage, keep: Sequence[str] = ()) -> list[Artifact]:
    """Every artifact of a run folder with what needs it. Raises InputError where there is no run, and for a `keep` that matches nothing."""
    for name in (SPACE_FILE, CARD_FILE):
        if not run.exists(name):
            raise InputError(
                run.url,
                f"no {name}, so what is still needed cannot be known",
                "name the folder of a sweep, e.g. results/quickstart",
            )
    data = Data.load(run)
    needed = _needed(run, data)
    found = [_artifact(run, name, needed) for name in run.names(FOLDER)]
    for wish in keep:
        if not any(_fits(wish, one) for one in found):
            raise InputError(
                f"--keep {wish}", "is no kind and no artifact here", suggestion(wish, {one.kind for one in found})
            )
    return [_with_wishes(one, keep) for one in found]


def collect(run: Storage, keep: Sequence[str] = ()) -> list[Artifact]:
    """Remove unneeded artifacts and return them. Raises InputError, and removes nothing, while a sweep holds the folder."""
    with held(run):
        gone = [one for one in artifacts(run, keep) if not one.kept_by]
        for one in gone:
            if run.exists(f"{FOLDER}/{one.name}/{META}"):
                run.delete(
                    f"{FOLDER}/{one.name}/{META}"
                )  # first, so that an interrupted removal leaves an unfinished artifact
            run.delete(f"{FOLDER}/{one.name}")
    return gone


def _needed(run: Storage, data: Data) -> dict[str, str]:
    """Names of the artifacts that configurations of the sweep config and the ledger need, with which of them needs each."""
    sweep_config, reading = read_config(run), read_ledger(run)
    named = {stage.hash: "the ledger" for stage in needed_stages(_recorded(reading, data), data)}
    named |= {
        stage.hash: "the sweep config" for stage in needed_stages(make_plan(sweep_config, data, reading).foreseen, data)
    }
    return named | {PurePath(folder).name: "the data" for folder in (data.source, data.target)}


def _recorded(reading: Reading, data: Data) -> Iterable[Trial]:
    seen = {
        (event["signature"], event["seed"]): restored(event["config"])
        for event in reading.events
        if "config" in event and "seed" in event
    }
    return (Trial(config, data.seen_by(config).hash, (seed,)) for (_, seed), config in seen.items())


def _artifact(run: Storage, name: str, needed: dict[str, str]) -> Artifact:
    if run.exists(f"{FOLDER}/{name}/{MANIFEST}"):
        return Artifact(name, DATA, "simulated images", needed.get(name, ""))
    if not run.exists(f"{FOLDER}/{name}/{META}"):
        return Artifact(name, UNFINISHED, "a computation that did not end", "")
    meta = json.loads(run.read(f"{FOLDER}/{name}/{META}"))
    inputs = meta["inputs"]
    words = [str(inputs[key]) for key in ("generator", "class", "images", "trial") if key in inputs]
    return Artifact(
        name, meta["kind"], f"{' '.join(words)}, {duration(meta['seconds'])} to make".lstrip(", "), needed.get(name, "")
    )


def _fits(wish: str, one: Artifact) -> bool:
    return one.kind == wish or one.name.startswith(wish)


def _with_wishes(one: Artifact, keep: Sequence[str]) -> Artifact:
    wish = next((wish for wish in keep if _fits(wish, one)), None)
    return one if one.kept_by or wish is None else Artifact(one.name, one.kind, one.about, f"--keep {wish}")


def _print(found: Iterable[Artifact]) -> None:
    table = Table("artifact", "kind", "what", "kept by", box=None, pad_edge=False)
    for one in sorted(found, key=lambda one: (bool(one.kept_by), one.kind, one.name)):
        table.add_row(one.name, one.kind, one.about, one.kept_by or "nothing")
    _console.print(table)


main = Command(artifacts_command, examples=("{} results/ratio", "{} results/ratio --keep generator --delete"))

if __name__ == "__main__":
    sys.exit(main())
