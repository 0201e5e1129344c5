"""What docs/findings/ holds: one JSON file a sweep config, and the plan of all of them. Nothing else is read to write the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.comparisons import PowerNote
from analysis.figures.importance import Importance
from analysis.intervals import Interval
from analysis.json_records import as_text, from_text
from analysis.table_formats import Table
from sweep.core.atomic import write_text
from sweep.core.errors import InputError
from sweep.core.hyperparameter import Scalar

PLAN = "plan.json"
_DIGITS = 5  # significant ones, more than the page prints


@dataclass(frozen=True)
class Arm:
    """One configuration: the settings that vary in its run, and metrics over patients and seeds."""

    label: str
    condition: str
    settings: dict[str, Scalar]
    numbers: dict[str, Interval]


@dataclass(frozen=True)
class Against:
    """An arm minus its control, paired by image and seed; `p_adjusted` is Holm's over the family."""

    arm: str
    control: str
    condition: str
    settings: dict[str, Scalar]
    made: Interval
    p: float
    p_adjusted: float
    seeds: int
    distinguishable: bool
    seed_noise_known: bool


@dataclass(frozen=True)
class Family:
    """All comparisons of a run on one metric, the margin that all of them lie within (tests at 5 %), and what the design could have seen."""

    metric: str
    rows: tuple[Against, ...]
    margin: float | None
    power: PowerNote | None


@dataclass(frozen=True)
class Blind:
    """Predictions for the target made without its labels, scored by them. Errors and rank correlations are over trained models."""

    sealed: bool
    condition: str
    images: int
    recipes: int
    refused: int
    reasons: tuple[str, ...]
    errors: dict[str, dict[str, float | None]]  # estimator -> error, bias, rank_correlation of AUROC
    coverage: float  # of the 90 % intervals of AUROC
    regret: dict[str, float]
    chosen: dict[str, str]
    pairs: tuple[tuple[float, float, float, float], ...]  # predicted AUROC, its ends, and the true one, a recipe each


@dataclass(frozen=True)
class FoldMean:
    """A metric over the folds of a cross-validation with its interval, corrected for overlapping training sets (Nadeau and Bengio 2003)."""

    condition: str
    metric: str
    made: Interval
    folds: tuple[float, ...]


@dataclass(frozen=True)
class RunRecord:
    """Everything that the page may say of one sweep config."""

    name: str
    source: str
    target: str
    image_px: int
    finished: int
    planned: int
    failed: int
    stopped: int
    seconds: float
    constants: dict[str, dict[str, float]]  # condition -> metric -> score of the constant predictor
    arms: tuple[Arm, ...] = ()
    families: tuple[Family, ...] = ()
    importance: dict[str, tuple[Importance, ...]] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    folds: tuple[FoldMean, ...] = ()
    blind: Blind | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether no record is still to come."""
        return self.finished > 0 and self.finished + self.failed + self.stopped >= self.planned


@dataclass(frozen=True)
class Planned:
    """One sweep config as shipped: what it would compute, and the values that it has where the question asks for some."""

    name: str
    summary: str
    configurations: int
    records: int
    values: dict[str, Any]
    core_hours: float | None = None  # on one core of the machine that planned it; None where that was not measured


@dataclass(frozen=True)
class Findings:
    """The plan and the records that are there, by name."""

    plan: tuple[Planned, ...]
    runs: dict[str, RunRecord]


def write_record(record: RunRecord, folder: Path) -> Path:
    """Write one run's record; returns its file."""
    return _written(folder / f"{record.name}.json", record)


def write_plan(plan: tuple[Planned, ...], folder: Path) -> Path:
    """Write the plan; returns its file."""
    return _written(folder / PLAN, plan)


def read_findings(folder: Path) -> Findings:
    """Everything in `folder`. InputError for a file that is no record; without a plan nothing can be said to be missing, which is an error too."""
    if not (folder / PLAN).exists():
        raise InputError(folder, f"has no {PLAN}", "run make findings, which writes it first")
    plan = tuple(_read(tuple[Planned, ...], folder / PLAN))
    files = sorted(path for path in folder.glob("*.json") if path.name != PLAN)
    runs = [_read(RunRecord, path) for path in files]
    return Findings(plan, {run.name: run for run in runs})


def _written(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, as_text(value, indent=1, digits=_DIGITS, ascii_only=False))
    return path


def _read(kind: Any, path: Path) -> Any:
    try:
        return from_text(kind, path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as broken:
        raise InputError(
            path, f"is no record of findings ({broken})", "delete it and run make findings again"
        ) from broken
