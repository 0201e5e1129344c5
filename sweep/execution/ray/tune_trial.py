"""A Tune trial: obtains its artifacts, submits its job to the job queue and returns the job's reports, one per step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune

from sweep.data.datasets import Data
from sweep.execution.job import DONE, Report
from sweep.execution.launch import Launch, stages_report
from sweep.execution.ray.worker_groups import WorkerGroupSetup
from sweep.execution.worker_loop import failure
from sweep.store.trial import Trial


class TuneTrial(tune.Trainable):
    """One trial after another in the same actor: artifacts first, then the job, then its reports."""

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

    def step(self) -> Report:
        """The trial's next report."""
        if not self._artifacts_asked:
            self._artifacts_asked = True
            return self._obtain_artifacts()
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
        """Nothing: a seed's training state is saved in the run folder by its worker."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing was saved."""

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._trial: Trial = config["trial"]
        self._artifacts_asked = self._submitted = False
        self._pending: list[Report] = []

    def _obtain_artifacts(self) -> Report:
        begin = time.perf_counter()
        try:
            stages = self._launch.stages(self._trial, self._data)
            obtained = ray.get([self._artifact_server.ensure.remote(stage) for stage in stages])
        except Exception as error:  # noqa: BLE001 - whatever a computation raised is the trial's failure
            reason = failure(getattr(error, "cause", None) or error)
            self._pending = [{"kind": "failed", "seed": seed, **reason} for seed in self._trial.seeds]
            self._pending.append({"kind": DONE, "done": True})
            return stages_report([], time.perf_counter() - begin)
        ray.get(self._worker_groups.job_queue.submit.remote(self._launch.work(self._trial)))
        self._submitted = True
        return stages_report([item for items in obtained for item in items], time.perf_counter() - begin)
