"""Run folders that version 0.1 wrote, copied to where a test may change them (tests/fixtures/runs)."""

from __future__ import annotations

import shutil
from pathlib import Path

from sweep.config.load import load_config
from sweep.config.sweep_config import SweepConfig
from sweep.core.storage import Storage

RUNS = Path(__file__).parents[1] / "fixtures" / "runs"
CONFIG = RUNS / "old.yaml"
FINISHED, HALF_FINISHED = "finished", "half_finished"
RECORDS = {FINISHED: 8, HALF_FINISHED: 3}


def old_run(name: str, folder: Path, shards: Path | None = None) -> Storage:
    """A copy of one of the folders; with the simulated shards of `shards`, a run folder, where given."""
    shutil.copytree(RUNS / name, folder)
    for artifact in (shards / "artifacts").glob("*") if shards else ():
        if (artifact / "manifest.json").exists():
            shutil.copytree(artifact, folder / "artifacts" / artifact.name, dirs_exist_ok=True)
    return Storage(folder)


def old_config() -> SweepConfig:
    """The sweep config of both folders."""
    return load_config(CONFIG)
