"""Reports of running trials -> ledger events, live table, campaign and budget. The only writer of the ledger, whatever the engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.core.storage import Storage
from sweep.execution.job import DONE, Report
from sweep.execution.live_table import Progress
from sweep.planning.budget import BudgetTracker
from sweep.search.campaign import Campaign
from sweep.store.ledger import Ledger, Record
from sweep.store.run_folder import note_device
from sweep.store.trial import RESULT, STATE, Trial


@dataclass(frozen=True)
class _Stop:
    """Where a trial stood when the campaign stopped it."""

    seed: int
    epoch: int
    metrics: dict[str, float | None]
    reason: str


@dataclass
class CampaignRecords:
    """Takes every report of every trial, in the order in which the engine gets them.

    For each report the engine calls `stops` and then `take`; when a trial's job is over it calls `ended` or `crashed`.
    """

    run: Storage
    ledger: Ledger
    progress: Progress
    campaign: Campaign
    budget_tracker: BudgetTracker
    _stages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _settled: set[Record] = field(default_factory=set)
    _started: set[Record] = field(default_factory=set)
    _stops: dict[str, _Stop] = field(default_factory=dict)  # by signature
    _devices: list[dict[str, Any]] = field(default_factory=list)  # that the environment file names already

    def stops(self, trial: Trial, report: Mapping[str, Any]) -> bool:
        """Whether the campaign stops the trial after this report."""
        if report.get("kind") != "epoch":
            return False
        metrics = _metrics(report)
        reason = self.campaign.report(trial.signature, report["seed"], report["epoch"], metrics)
        if reason:
            self._stops[trial.signature] = _Stop(report["seed"], report["epoch"], metrics, reason)
        return reason is not None

    def take(self, trial: Trial, report: Report) -> None:
        """One report of a trial."""
        kind = report.get("kind")
        if kind == "stages":
            self._stages[trial.signature] = report["stages"]
        elif kind == "epoch":
            self._epoch(trial, report)
        elif kind == "finish":
            self._finish(trial, report["seed"])
        elif kind == "failed":
            self._fail(trial, report["seed"], report["failure"], report["reason"])
        elif kind == DONE and "failure" in report:
            self._fail_rest(trial, report["failure"], report["reason"])

    def ended(self, trial: Trial, launch_id: str) -> None:
        """The job is over. A seed that finished without its report arriving is taken from its folder; a stopped one is recorded."""
        self._take_finished(trial)
        if trial.signature in self._stops:
            self._stopped(trial)
        self.budget_tracker.ended(launch_id)

    def crashed(self, trial: Trial, launch_id: str, reason: str) -> None:
        """What ran the trial's job failed: the machine's fault or the engine's. Every open seed fails with the reason."""
        self.ended(trial, launch_id)
        self._fail_rest(trial, "FAILED", reason)

    def _finish(self, trial: Trial, seed: int) -> None:
        """Take a finished seed's result into the ledger, once."""
        if (trial.signature, seed) in self._settled:
            return
        self._start(trial, seed)
        result = json.loads(self.run.read(f"{trial.seed_folder(seed)}/{RESULT}"))
        event = self.ledger.append({"event": "finish", **result, "stages": self._stages.get(trial.signature, [])})
        self._settle(trial, seed, self.campaign.values(event["metrics"]))
        self.progress.on_finish(event)
        # A record of a version before 0.2 that is taken from its folder does not name its device.
        if "device" in result:
            self._note_device(result["device"])

    def _note_device(self, device: dict[str, Any]) -> None:
        if device not in self._devices:
            self._devices.append(device)
            if line := note_device(self.run, device):
                self.progress.note(line)

    def _settle(self, trial: Trial, seed: int, values: list[float | None] | None) -> None:
        self._settled.add((trial.signature, seed))
        self.campaign.settle(trial.signature, seed, values)
        self.progress.total = self.campaign.expected_records

    def _take_finished(self, trial: Trial) -> None:
        for seed in trial.seeds:
            done = (trial.signature, seed) in self._settled
            if not done and self.run.exists(f"{trial.seed_folder(seed)}/{RESULT}"):
                self._finish(trial, seed)

    def _fail_rest(self, trial: Trial, kind: str, reason: str) -> None:
        self._take_finished(trial)
        if self.campaign.candidates[trial.signature].ended:
            return
        for seed in trial.seeds:
            if (trial.signature, seed) not in self._settled:
                self._fail(trial, seed, kind, reason)

    def _start(self, trial: Trial, seed: int) -> None:
        if (trial.signature, seed) not in self._started:
            self._started.add((trial.signature, seed))
            self.ledger.append({"event": "start", **_identity(trial, seed)})

    def _epoch(self, trial: Trial, report: Mapping[str, Any]) -> None:
        seed, metrics = report["seed"], _metrics(report)
        self._start(trial, seed)
        event = {"event": "epoch", "signature": trial.signature, "seed": seed, "epoch": report["epoch"]}
        self.ledger.append({**event, "metrics": metrics})
        self.progress.on_epoch(trial.signature, seed, trial.config, {"epoch": report["epoch"], **metrics})

    def _fail(self, trial: Trial, seed: int, kind: str, reason: str) -> None:
        self._start(trial, seed)
        event = self.ledger.append({"event": "failed", **_identity(trial, seed), "kind": kind, "reason": reason})
        self._settle(trial, seed, None)
        self.progress.on_failed(event)

    def _stopped(self, trial: Trial) -> None:
        stop = self._stops.pop(trial.signature)
        if (trial.signature, stop.seed) in self._settled:  # it had reached its end when it was stopped
            return
        facts = {"epoch": stop.epoch, "reason": stop.reason, "by": "halving", "metrics": stop.metrics}
        event = {"event": "stopped", **_identity(trial, stop.seed), **facts}
        self.ledger.append(event)
        self._settled.add((trial.signature, stop.seed))
        self.campaign.stop(trial.signature, stop.seed, stop.reason, self.campaign.values(stop.metrics))
        if self.run.exists(f"{trial.seed_folder(stop.seed)}/{STATE}"):
            self.run.delete(f"{trial.seed_folder(stop.seed)}/{STATE}")
        self.progress.total = self.campaign.expected_records
        self.progress.on_stopped(event)


def _identity(trial: Trial, seed: int) -> dict[str, Any]:
    return {"signature": trial.signature, "seed": seed, "config": dict(trial.config), "study": dict(trial.cell)}


def _metrics(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of an epoch's report; None for those that JSON cannot hold."""
    named = {
        name: value for name, value in report.items() if "/" in name or name in ("lr", "epoch_seconds", "domain_gap")
    }
    numbers = {
        name: value for name, value in named.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
