"""A plan's settings -> what each trial needs before it trains, and the job that its worker gets. The same for every engine."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.config.sweep_config import Resources
from sweep.data.datasets import Data
from sweep.execution.job import Work
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
            threads=self.resources.threads,
            stack_seeds=self.resources.stack_seeds,
            capture=self.resources.capture == "auto",
            worker_group=None if reuse else f"only-{trial.signature}-{trial.seeds[0]}",
            last=not reuse,
        )

    def _rungs(self, trial: Trial) -> Rungs:
        if self.halving is None:
            return Rungs()
        return Rungs(self.halving.rungs(epochs_of(trial.config)), self.metrics)
