"""Recompute a finished record without Ray and compare every metric with the ledger.

python -m sweep.replay results/quickstart 3f2a91c04b7e [--seed 1] [--keep OUT]
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from analysis.trial_names import TRIAL_HELP, trial_signature
from sweep.core.command_line import EXITS, Command
from sweep.core.errors import EXIT_COMPLETE, EXIT_FAILED_TRIALS
from sweep.core.storage import Storage
from sweep.store.ledger import Event, finished_record

_console = Console(highlight=False)
_TOLERANCE = 1e-6  # another processor or thread count rounds sums in another order


def replay(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    trial: Annotated[str, typer.Argument(help=TRIAL_HELP, show_default=False)],
    seed: Annotated[int, typer.Option(help="Which of its seeds.")] = 0,
    keep: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep what the replay writes there.")] = None,
) -> int:
    """Train, evaluate and attack one record again, without Ray, and compare every metric with the ledger."""
    return _replay(run, trial_signature(run, trial), seed, keep)


def _replay(run: str, signature: str, seed: int, keep: Path | None) -> int:
    recorded = finished_record(Storage(run), signature, seed)
    with tempfile.TemporaryDirectory() as folder:
        metrics = run_again(Storage(run), recorded, Storage(keep or folder))
    different = differences(recorded["metrics"], metrics)
    for name, (before, now) in different.items():
        _console.print(f"{name}: was {before} and is {now}", soft_wrap=True)
    same = len(recorded["metrics"]) - len(different)
    _console.print(f"{same} of {len(recorded['metrics'])} metrics are the same")
    return EXIT_FAILED_TRIALS if different else EXIT_COMPLETE


def run_again(run: Storage, recorded: Event, out: Storage) -> Mapping[str, float | None]:
    """The record's metrics computed anew in this process; artifacts are read from `run`, everything is written to `out`."""
    import torch

    from sweep.config.hyperparameters import restored
    from sweep.data.datasets import FOLDS, Data
    from sweep.pipeline.train_and_evaluate import run_seed
    from sweep.pipeline.training_job import TrainingJob
    from sweep.planning.plan import attacks_of
    from sweep.store.run_folder import read_config
    from sweep.store.trial import Trial

    sweep_config = read_config(run)
    torch.set_num_threads(sweep_config.resources.threads)
    config = restored(recorded["config"])
    data = Data.load(run).seen_by(config)
    trial = Trial(config, data.hash, (recorded["seed"],), recorded["study"])
    device = "cuda" if torch.cuda.is_available() and sweep_config.resources.gpus_per_worker else "cpu"
    folds = {fold: data.read(fold) for fold in FOLDS}
    job = TrainingJob(trial, recorded["seed"], data, folds, attacks_of(sweep_config), out, device=device, artifacts=run)
    return run_seed(job)["metrics"]


def differences(
    before: Mapping[str, float | None], now: Mapping[str, float | None]
) -> dict[str, tuple[float | None, float | None]]:
    """Metrics that are not the same within rounding: (recorded, now)."""
    return {name: (value, now.get(name)) for name, value in before.items() if not _equal(value, now.get(name))}


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


main = Command(
    replay,
    examples=("{} results/quickstart best", "{} results/quickstart 3f2a91 --seed 1 --keep again"),
    exits={**EXITS, EXIT_COMPLETE: "the same numbers", EXIT_FAILED_TRIALS: "some metric differs"},
)

if __name__ == "__main__":
    sys.exit(main())
