"""The papers' questions on real images: import, run, rank and write docs/findings.md. `make findings DATA=... [ONLY=gap]` calls it.

    python -m benchmarks.findings PATH/TO/DATA                # everything that is left; the same command goes on after a stop
    python -m benchmarks.findings PATH/TO/DATA --only gap     # one question
    python -m benchmarks.findings PATH/TO/DATA --plan         # core hours that each sweep config takes, timed on a few steps; runs nothing
    python -m benchmarks.findings PATH/TO/DATA --page         # records and page again, from the run folders that are there

DATA holds BUSI/, BrEaST/, chest_pneumonia_224/, nih1000_64/ and weights/ as they are published. It is only read: shards and run folders lie in
--work (results/findings). Paths in the sweep configs (search_spaces/findings) are relative to that folder, in which weights/ is a link to DATA/weights.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.findings.__main__ import PAGE, write_page, write_records
from analysis.findings.page import FOLDER
from analysis.findings.questions import PARTS, QUESTIONS
from analysis.findings.records import PLAN, Planned, read_findings, write_plan
from sweep.config.load import load_config
from sweep.config.shipped import summary
from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import EXIT_COMPLETE, EXIT_FAILED_TRIALS, InputError
from sweep.core.storage import Storage
from sweep.importers.table import import_dataset
from sweep.planning.grid import cells
from sweep.shards.schema import MANIFEST
from sweep.store.ledger import read_ledger

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "search_spaces" / "findings"
WEIGHTS, SHARDS, RUNS = "weights", "shards", "runs"
_NIH = "NIH1000"
_NIH_CLASSES = {"0_normal": "normal", "1_abnormal": "pneumonia"}  # its abnormal images show other diseases too
_PATIENT_DIGITS = 8  # of a file name


@dataclass(frozen=True)
class Import:
    """A shard folder: importer, the folder of DATA that it reads, and options."""

    importer: str
    folder: str
    options: Mapping[str, Any] = field(default_factory=dict)
    prepared: Callable[[Path, Path], Path] | None = (
        None  # (folder, work) -> what the importer reads instead of the folder
    )


def nih_table(folder: Path, work: Path) -> Path:
    """The NIH sample as a table for the importer `csv`: classes named as Kermany's, patients by their file names."""
    rows = [
        (str(path.relative_to(folder)), _NIH_CLASSES[path.parent.name], path.name[:_PATIENT_DIGITS])
        for path in sorted((folder / _NIH).glob("*/*/*.png"))
    ]
    if not rows:
        raise InputError(folder, f"has no {_NIH}/*/*/*.png", "give the sample as it was published")
    table = work / "nih.csv"
    with open(table, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("path", "label", "patient"), *rows])
    return table


def _nih_options(folder: Path) -> dict[str, Any]:
    return {
        "root": str(folder),
        "path_column": "path",
        "label_column": "label",
        "patient_column": "patient",
        "domain": "nih",
    }


IMPORTS = {
    f"{SHARDS}/busi": Import("busi", "BUSI"),
    f"{SHARDS}/brest": Import("brest", "BrEaST"),
    f"{SHARDS}/busi_roi": Import("busi", "BUSI", {"roi": "box"}),
    f"{SHARDS}/brest_roi": Import("brest", "BrEaST", {"roi": "box"}),
    f"{SHARDS}/kermany": Import("kermany", "chest_pneumonia_224"),
    f"{SHARDS}/nih": Import("csv", "nih1000_64", prepared=nih_table),
}


def config_files(only: str | None = None) -> list[Path]:
    """The shipped sweep configs in the order of the questions, those of one question with `only`. InputError for an unknown question."""
    keys = [question.key for question in QUESTIONS]
    if only is not None and only not in keys:
        raise InputError("--only", f"{only!r} is no question", f"give one of {', '.join(keys)}")
    files = {
        name: CONFIGS / f"{name.replace('-', '_')}.yaml"
        for name, part in PARTS.items()
        if only in (None, part.question)
    }
    return [*files.values()]


def folds_of(config: SweepConfig) -> list[dict[str, str]]:
    """The overrides of each run of a config: one run, or one a fold of a cross-validation, with names of their own."""
    if config.data.folds is None:
        return [{"name": config.name}]
    return [{"name": f"{config.name}-{fold}", "data.fold": str(fold)} for fold in range(config.data.folds)]


def planned(path: Path, core_hours: float | None = None) -> Planned:
    """What a config would compute, with the values that are asked for at other sizes."""
    config = load_config(path)
    count, runs = len(settled(config)), len(folds_of(config))
    asked = PARTS[config.name].asked
    return Planned(
        config.name,
        summary(path),
        count,
        count * config.seeds.min * runs,
        {place: value_at(config, place) for place in asked},
        core_hours,
    )


def settled(config: SweepConfig) -> list[dict[str, Any]]:
    """The configurations, each once: cells that differ in what has no effect (a generator at ratio 0) are one."""
    from sweep.config.hyperparameters import complete

    if config.search:
        return [{}] * (len(cells(config.grid)) * config.searcher.trials)
    found: dict[str, dict[str, Any]] = {}
    for cell in cells(config.grid):
        whole = complete({**config.fixed, **cell})
        found.setdefault(repr(sorted(whole.items())), whole)
    return [*found.values()]


def value_at(config: SweepConfig, place: str) -> Any:
    """The value at `data.image_px`, `fixed.epochs`, `grid.train_images` or `seeds` (the least number of them)."""
    if place == "seeds":
        return config.seeds.min
    section, _, name = place.partition(".")
    holder = getattr(config, section)
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name)


def import_missing(data: Path, work: Path, files: Sequence[Path]) -> None:
    """Make the shard folders that the configs name and that are not there, and the link to the weights."""
    work.mkdir(parents=True, exist_ok=True)
    if not (data / WEIGHTS).is_dir():
        raise InputError(data, f"has no folder {WEIGHTS}", "give the folder that holds the data sets and weights/")
    link = work / WEIGHTS
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to((data / WEIGHTS).resolve(), target_is_directory=True)
    configs = [load_config(path) for path in files]
    named = dict.fromkeys(place for config in configs for place in (config.data.source, config.data.target))
    for place in named:
        row = IMPORTS[place]
        folder = data / row.folder
        if Storage(work / place).exists(MANIFEST):
            continue
        if not folder.is_dir():
            raise InputError(folder, "no such folder", f"DATA must hold {row.folder}, for {place}")
        print(f"importing {row.folder} to {place}", flush=True)
        source = row.prepared(folder, work) if row.prepared else folder
        options = {**row.options, **(_nih_options(folder) if row.prepared else {})}
        import_dataset(row.importer, str(source), str(work / place), **options)


def run(path: Path, work: Path, extra: Sequence[str] = ()) -> list[Path]:
    """Run a config in `work`, every fold of it; returns its run folders that have a finished record. A stop by hand is raised on."""
    for overrides in folds_of(load_config(path)):
        words = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
        command = [
            sys.executable,
            "-m",
            "sweep.run",
            str(path),
            *words,
            "--storage",
            f"{RUNS}/{overrides['name']}",
            *extra,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        code = subprocess.run(command, cwd=work, env=environment, check=False).returncode
        if code not in (EXIT_COMPLETE, EXIT_FAILED_TRIALS):
            raise SystemExit(code)
    return run_folders(path, work)


def run_folders(path: Path, work: Path) -> list[Path]:
    """The run folders of a config in which at least one record has finished."""
    places = [work / RUNS / overrides["name"] for overrides in folds_of(load_config(path))]
    return [place for place in places if (place / "records").is_dir() and read_ledger(Storage(place)).finished()]


def core_hours(path: Path, work: Path) -> float:
    """Core hours of a config, foreseen from a few steps of each kind of record and generator on this machine, one thread each."""
    from sweep.planning.plan_report import foreseen_seconds

    config, before = load_config(path), Path.cwd()
    begin, busy = time.perf_counter(), time.process_time()
    os.chdir(work)  # paths in the config are relative to it
    try:
        found = foreseen_seconds(config, None, ("record", "generator"))
    finally:
        os.chdir(before)
    # The steps are timed by the clock; what other programs took of the machine meanwhile is left out.
    share = min(1.0, (time.process_time() - busy) / (time.perf_counter() - begin))
    records = sum(found["record"]) * config.seeds.min
    return share * (records + sum(found["generator"])) * len(folds_of(config)) / 3600


def write_the_plan(out: Path, hours: Mapping[str, float] | None = None) -> None:
    """docs/findings/plan.json from the shipped configs; foreseen hours that are not measured anew are kept."""
    kept = (
        {row.name: row.core_hours for row in read_findings(out / FOLDER).plan} if (out / FOLDER / PLAN).exists() else {}
    )
    known = {**kept, **(hours or {})}
    write_plan(tuple(planned(path, known.get(path.stem.replace("_", "-"))) for path in config_files()), out / FOLDER)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the data sets and weights/")
    parser.add_argument("--only", help="one question: " + ", ".join(question.key for question in QUESTIONS))
    parser.add_argument("--work", type=Path, default=Path("results/findings"), help="folder of shards and runs")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of findings.md and findings/")
    parser.add_argument("--plan", action="store_true", help="print the core hours of each config; runs nothing")
    parser.add_argument("--page", action="store_true", help="write records and page again; runs nothing")
    parser.add_argument("--engine", choices=("ray", "inline"), help="what runs the trials")
    return parser.parse_args(arguments)


def _plan(files: Sequence[Path], work: Path, out: Path) -> None:
    hours: dict[str, float] = {}
    for path in files:
        name = load_config(path).name
        hours[name] = core_hours(path, work)
        print(f"{name}: {hours[name]:.2f} core hours", flush=True)
    print(f"in all: {sum(hours.values()):.1f} core hours, {sum(hours.values()) / 2:.1f} h of two cores")
    write_the_plan(out, hours)


def main(arguments: Sequence[str] | None = None) -> int:
    """Import, run and write, config by config, so that the page is whole after each of them."""
    options = _options(arguments)
    work, out = options.work.resolve(), options.out.resolve()
    try:
        files = config_files(options.only)
        if not options.page:
            import_missing(options.data, work, files)
        if options.plan:
            _plan(files, work, out)
            return 0
        write_the_plan(out)
        for path in files:
            folders = (
                run_folders(path, work)
                if options.page
                else run(path, work, ["--engine", options.engine] if options.engine else [])
            )
            write_records([str(folder) for folder in folders], out)
            write_page(out)
        print(out / PAGE)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
