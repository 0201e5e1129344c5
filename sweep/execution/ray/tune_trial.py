"""A Tune trial: obtains its artifacts, submits its job to the job queue and returns the job's reports, one per step.

It runs in a process of its own, so it imports as little as it can: the driver has named its stages and made its job.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray import tune

from sweep.execution.job import DONE, Report, Work, failure, stages_report
from sweep.store.artifact_store import Stage


class TuneTrial(tune.Trainable):
    """One trial after another in the same actor: artifacts first, then the job, then its reports."""

    _artifacts_asked: bool
    _submitted: bool
    _pending: list[Report]

    def setup(self, config: dict[str, Any], artifact_server: Any, job_queue: Any) -> None:
        """Called once per process; `reset_config` gives it the next trial."""
        self._artifact_server, self._job_queue = artifact_server, job_queue
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
        report = ray.get(self._job_queue.next_report.remote(self._work.trial.signature))
        if report["kind"] != DONE:
            return report
        self._submitted = False
        return {**report, "done": True}

    def cleanup(self) -> None:
        """Called when the trial is stopped."""
        if self._submitted:
            ray.get(self._job_queue.cancel.remote(self._work.trial.signature))
            self._submitted = False

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: a seed's training state is saved in the run folder by its worker."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing was saved."""

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._work: Work = config["work"]
        self._stages: Sequence[Stage] = config["stages"]
        self._failed: dict[str, str] | None = config.get("failed")  # why its stages could not be named
        self._artifacts_asked = False
        self._submitted = False
        self._pending = []

    def _obtain_artifacts(self) -> Report:
        begin = time.perf_counter()
        obtained: list[Any] = []
        failed = self._failed
        if failed is None:
            try:
                ensure, queue = self._artifact_server.ensure, self._job_queue
                obtained = ray.get([ensure.remote(stage, queue) for stage in self._stages])
            except Exception as error:  # noqa: BLE001 - whatever a computation raised is the trial's failure
                failed = failure(getattr(error, "cause", None) or error)
        if failed is not None:
            self._pending = [{"kind": "failed", "seed": seed, **failed} for seed in self._work.trial.seeds]
            self._pending.append({"kind": DONE, "done": True})
            return stages_report([], time.perf_counter() - begin)
        ray.get(self._job_queue.submit.remote(self._work))
        self._submitted = True
        return stages_report([item for items in obtained for item in items], time.perf_counter() - begin)
