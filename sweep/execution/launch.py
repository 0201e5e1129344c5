"""A plan's settings -> what each trial needs before it trains, and the job that its worker gets. The same for every engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sweep.config.sweep_config import Resources
from sweep.data.datasets import Data
from sweep.execution.job import Report, Work
from sweep.pipeline.stages import own_models, stages_of
from sweep.planning.grid import epochs_of
from sweep.search.halving import ParetoHalving
from sweep.store.artifact_store import Stage
from sweep.store.trial import Attacks, Rungs, Trial


@dataclass(frozen=True)
class Launch:
    """The settings that all trials of a sweep share."""

    attacks: Attacks
    run_url: str
    resources: Resources
    attempt: int
    halving: ParetoHalving | None = None  # whose rungs the workers measure at
    metrics: tuple[str, ...] = ()
    shared_models: frozenset[str] = frozenset()  # hashes of the stages whose models other trials use

    def stages(self, trial: Trial, data: Data) -> list[Stage]:
        """The artifacts that must exist before the trial trains, without their own dependencies."""
        return stages_of(trial, data) + own_models(trial, data, self.shared_models)

    def work(self, trial: Trial) -> Work:
        """The trial's job."""
        reuse = self.resources.reuse_workers
        return Work(
            trial,
            self.attacks,
            self._rungs(trial),
            threads=max(1, int(self.resources.cpus_per_worker)),
            worker_group=None if reuse else f"only-{trial.signature}-{trial.seeds[0]}",
            last=not reuse,
        )

    def _rungs(self, trial: Trial) -> Rungs:
        if self.halving is None:
            return Rungs()
        return Rungs(self.halving.rungs(epochs_of(trial.config)), self.metrics)


@dataclass(frozen=True)
class Obtained:
    """How a trial got an artifact: `reused` is False for the one trial that caused its computation."""

    stage: str
    hash: str
    reused: bool
    seconds: float  # what the computation cost this trial: 0 when the artifact was reused
    saved_s: float  # what reusing it saved
    facts: dict[str, Any]  # noted with the artifact: a pool's quality, its copies

    @classmethod
    def of(cls, stage: Stage, meta: dict[str, Any], reused: bool) -> Obtained:
        """From a stage and the note of its finished artifact."""
        facts = {name: value for name, value in meta.items() if name not in ("kind", "version", "inputs", "seconds")}
        spent, saved = (0.0, meta["seconds"]) if reused else (meta["seconds"], 0.0)
        return cls(stage.kind, stage.hash, reused, spent, saved, facts)


def stages_report(obtained: Iterable[Obtained], waited_s: float) -> Report:
    """The report of a trial whose artifacts exist: each artifact once, computed rather than reused where the trial did both."""
    ordered = sorted(obtained, key=lambda item: item.reused, reverse=True)
    return {
        "kind": "stages",
        "stages": list({item.hash: vars(item) for item in ordered}.values()),
        "waited_s": waited_s,
    }
