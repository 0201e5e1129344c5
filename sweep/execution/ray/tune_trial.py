"""A Tune trial: it has its artifacts made, puts its job on the job queue and hands the reports on, one a step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

from sweep.config.sweep_config import Resources
from sweep.data.datasets import Data
from sweep.execution.job import Work
from sweep.execution.ray.job_queue import DONE
from sweep.execution.ray.worker_groups import WorkerGroupSetup
from sweep.execution.worker_loop import failure
from sweep.pipeline.stages import own_models, stages_of
from sweep.planning.grid import epochs_of
from sweep.search.halving import ParetoHalving
from sweep.store.trial import Attacks, Rungs, Trial


@dataclass(frozen=True)
class Launch:
    """What every trial driver is handed."""

    attacks: Attacks
    run_url: str
    resources: Resources
    attempt: int
    halving: ParetoHalving | None = None  # whose rungs the workers measure at
    metrics: tuple[str, ...] = ()
    shared_models: frozenset[str] = frozenset()  # models that trials take from other trials, by the hash of their stage

    def rungs(self, trial: Trial) -> Rungs:
        """Where a trial is judged; nowhere without halving."""
        if self.halving is None:
            return Rungs()
        return Rungs(self.halving.rungs(epochs_of(trial.config)), self.metrics)


class TrialDriver(tune.Trainable):
    """One Tune trial after another: artifacts first, then the job, then its reports, one a step."""

    def setup(
        self, config: dict[str, Any], launch: Launch, data: Data, artifact_server: Any, setup: WorkerGroupSetup
    ) -> None:
        """Called once per process; `reset_config` gives it the next trial."""
        self._launch, self._data, self._artifact_server, self._worker_groups = launch, data, artifact_server, setup
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial; the last one's job is dropped if it still runs."""
        self.cleanup()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The trial's next report."""
        if self._stage == "artifacts":
            self._stage = "job"
            return self._make_artifacts()
        if self._pending:
            return self._pending.pop(0)
        report = ray.get(self._worker_groups.job_queue.next_report.remote(self._trial.signature))
        if report["kind"] != DONE:
            return report
        self._submitted = False
        return {**report, "done": True}

    def cleanup(self) -> None:
        """Called when the trial is stopped."""
        if self._submitted:
            ray.get(self._worker_groups.job_queue.cancel.remote(self._trial.signature))
            self._submitted = False

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to keep: a seed's training state lies with the run."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing was kept."""

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._trial = config["trial"]
        self._stage, self._pending, self._submitted = "artifacts", [], False

    def _make_artifacts(self) -> dict[str, Any]:
        begin = time.perf_counter()
        try:
            stages = stages_of(self._trial, self._data) + own_models(
                self._trial, self._data, self._launch.shared_models
            )
            obtained = ray.get([self._artifact_server.ensure.remote(stage) for stage in stages])
        except Exception as error:  # noqa: BLE001
            reason = failure(getattr(error, "cause", None) or error)
            self._pending = [{"kind": "failed", "seed": seed, **reason} for seed in self._trial.seeds] + [
                {"kind": DONE, "done": True}
            ]
            return {"kind": "stages", "stages": [], "waited_s": time.perf_counter() - begin}
        self._submit()
        everything = sorted((item for items in obtained for item in items), key=lambda item: item.reused, reverse=True)
        noted = {
            item.hash: vars(item) for item in everything
        }  # two pools ask for one generator: the one that made it counts
        return {"kind": "stages", "stages": list(noted.values()), "waited_s": time.perf_counter() - begin}

    def _submit(self) -> None:
        resources, reuse = self._launch.resources, self._launch.resources.reuse_workers
        worker_group = None if reuse else f"only-{self._trial.signature}-{self._trial.seeds[0]}"
        work = Work(
            self._trial,
            self._launch.attacks,
            self._launch.rungs(self._trial),
            threads=max(1, int(resources.cpus_per_worker)),
            worker_group=worker_group,
            last=not reuse,
        )
        ray.get(self._worker_groups.job_queue.submit.remote(work))
        self._submitted = True
