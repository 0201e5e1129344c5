"""The time that plan foresees from a few steps against the time that the sweep then takes, on three sizes of data.

python -m benchmarks.init_estimate [--patients 30 60 120] [--time 60]

For each size: two simulated hospitals, the sweep config that `init` would write for that time, its foreseen seconds, and a sweep of it by the
inline engine in this process. "records" compares the sums over records, "whole" what `plan --measure` says for this machine with the sweep from start to
report. Within 2x is the promise. Trials run one at a time. Measured one after the other: on a machine with other work the factor says as much about that work.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from sweep.config.load import load_config
from sweep.init import Asked, fit_to_time, place_of, proposal_of
from sweep.planning.cost import StepCost, seconds_here
from sweep.planning.plan_report import foreseen_capacity, foreseen_seconds
from sweep.proposal.config_text import config_text
from sweep.run import run_sweep
from sweep.shards.reader import read_manifest
from sweep.store.ledger import read_ledger


@dataclass(frozen=True)
class Row:
    """One size: images of the source, records, seconds planned for and taken by the records, and by the whole sweep."""

    images: int
    records: int
    planned: float
    taken: float
    planned_whole: float
    whole: float

    def __str__(self) -> str:
        cells = (self.planned, self.taken, self.planned / self.taken)
        whole = (self.planned_whole, self.whole, self.planned_whole / self.whole)
        numbers = "".join(f"{one:10.1f}{other:10.1f}{ratio:8.2f}" for one, other, ratio in (cells, whole))
        return f"{self.images:6d}{self.records:9d}{numbers}"


HEAD = (
    "               records, s                  whole sweep, s\n"
    "images  records   planned     taken   ratio   planned     taken   ratio"
)


def measure(patients: int, seconds: float, folder: Path) -> Row:
    """Foresee and run one size in `folder`."""
    from sweep.importers import import_dataset

    for letter in "ab":
        import_dataset(f"phantom-{letter}", None, folder / letter, patients=patients)
    source, target = str(folder / "a"), str(folder / "b")
    asked = Asked("estimate", f"{seconds:g}s", 0, None, folder, folder / "estimate.yaml", None, None, {}, 0)
    proposal = proposal_of(source, asked, seconds)
    place = place_of(asked.name, [source, target])
    draft = config_text(place, proposal, asked.time)
    asked.config.write_text(config_text(place, fit_to_time(draft, proposal, seconds), asked.time))
    overrides = {"resources.max_concurrent_trials": "1", "budget.wall": "10h"}
    config = load_config(asked.config, overrides)
    here = foreseen_capacity(config.resources, None)
    assert here is not None  # the config names no node types
    found = foreseen_seconds(config, None)["record"]
    work = StepCost("record", len(found) * config.seeds.min, tuple(found), probed=True)
    planned = work.left * work.mean_s
    begin = time.perf_counter()
    run_sweep(asked.config, overrides, False, False, str(folder / "run"), None)
    whole = time.perf_counter() - begin
    taken = [event["seconds"]["total"] for event in read_ledger(folder / "run").finished().values()]
    planned_whole = seconds_here([work], len(found), here)
    return Row(read_manifest(source).images, len(taken), planned, sum(taken), planned_whole, whole)


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[30, 60, 120])
    parser.add_argument("--time", type=float, default=60.0, help="seconds given to each sweep")
    chosen = parser.parse_args()
    print(HEAD)
    for patients in chosen.patients:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            row = measure(patients, chosen.time, Path(folder))
        print(row, flush=True)


if __name__ == "__main__":
    main()
