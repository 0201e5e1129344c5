"""Tune's reports -> ledger events, the live table, and the campaign that decides what runs next."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray import tune

from sweep.core.storage import Storage
from sweep.execution.live_table import Progress
from sweep.execution.ray.job_queue import DONE
from sweep.planning.budget import BudgetTracker
from sweep.search.campaign import Campaign
from sweep.store.ledger import Ledger, Record
from sweep.store.trial import RESULT, STATE, Trial


@dataclass
class RecordCallback(tune.Callback):
    """Tune's reports -> ledger events and the live table. The only writer of the ledger."""

    run: Storage
    ledger: Ledger
    progress: Progress
    campaign: Campaign
    budget_tracker: BudgetTracker
    stages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    settled: set[Record] = field(default_factory=set)
    started: set[Record] = field(default_factory=set)
    stops: dict[str, tuple[int, int, dict[str, float | None], str]] = field(
        default_factory=dict
    )  # seed, epoch, metrics, why

    def judge(self, trial: Any, result: Mapping[str, Any]) -> bool:
        """Whether a trial should be stopped after this report; asked before the report comes to `on_trial_result`."""
        if result.get("kind") != "epoch":
            return False
        ours, metrics = self._ours(trial), _metrics(result)
        reason = self.campaign.report(ours.signature, result["seed"], result["epoch"], metrics)
        if reason:
            self.stops[ours.signature] = (result["seed"], result["epoch"], metrics, reason)
        return reason is not None

    def __reduce__(self) -> tuple:
        """Tune stores its callbacks with the experiment; nothing reads them back, for the ledger is the truth."""
        return tune.Callback, ()

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """One report of a driver or of its workers."""
        ours = self._ours(trial)
        kind = result.get("kind")
        if kind == "stages":
            self.stages[ours.signature] = result["stages"]
        elif kind == "epoch":
            self._epoch(ours, result)
        elif kind == "finish":
            self.finish(ours, result["seed"])
        elif kind == "failed":
            self._fail(ours, result["seed"], result["failure"], result["reason"])
        elif kind == DONE and "failure" in result:
            self._fail_rest(ours, result["failure"], result["reason"])

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A driver returned: whatever its workers finished but could not report is in their folders; a stopped one is noted as such."""
        ours = self._ours(trial)
        self._take_finished(ours)
        if ours.signature in self.stops:
            self._stopped(ours)
        self.budget_tracker.ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A driver raised: a fault of the machine or of ours."""
        self.on_trial_complete(iteration, trials, trial)
        self._fail_rest(self._ours(trial), "FAILED", _last_line(trial.error_file) or "its driver ended without a word")

    def finish(self, trial: Trial, seed: int) -> None:
        """Take a finished seed's result into the ledger, once."""
        if (trial.signature, seed) in self.settled:
            return
        self._start(trial, seed)
        result = json.loads(self.run.read(f"{trial.seed_folder(seed)}/{RESULT}"))
        event = self.ledger.append({"event": "finish", **result, "stages": self.stages.get(trial.signature, [])})
        self._settle(trial, seed, self.campaign.values(event["metrics"]))
        self.progress.on_finish(event)

    def _settle(self, trial: Trial, seed: int, values: list[float | None] | None) -> None:
        self.settled.add((trial.signature, seed))
        self.campaign.settle(trial.signature, seed, values)
        self.progress.total = self.campaign.expected_records

    def _take_finished(self, trial: Trial) -> None:
        for seed in trial.seeds:
            if (trial.signature, seed) not in self.settled and self.run.exists(f"{trial.seed_folder(seed)}/{RESULT}"):
                self.finish(trial, seed)

    def _fail_rest(self, trial: Trial, kind: str, reason: str) -> None:
        self._take_finished(trial)
        if self.campaign.candidates[trial.signature].ended:
            return
        for seed in trial.seeds:
            if (trial.signature, seed) not in self.settled:
                self._fail(trial, seed, kind, reason)

    def _ours(self, trial: Any) -> Trial:
        return trial.config["trial"]

    def _start(self, trial: Trial, seed: int) -> None:
        if (trial.signature, seed) not in self.started:
            self.started.add((trial.signature, seed))
            self.ledger.append({"event": "start", **_identity(trial, seed)})

    def _epoch(self, trial: Trial, result: Mapping[str, Any]) -> None:
        seed = result["seed"]
        self._start(trial, seed)
        metrics = _metrics(result)
        self.ledger.append(
            {"event": "epoch", "signature": trial.signature, "seed": seed, "epoch": result["epoch"], "metrics": metrics}
        )
        self.progress.on_epoch(trial.signature, seed, trial.config, {"epoch": result["epoch"], **metrics})

    def _fail(self, trial: Trial, seed: int, kind: str, reason: str) -> None:
        self._start(trial, seed)
        event = self.ledger.append({"event": "failed", **_identity(trial, seed), "kind": kind, "reason": reason})
        self._settle(trial, seed, None)
        self.progress.on_failed(event)

    def _stopped(self, trial: Trial) -> None:
        seed, epoch, metrics, reason = self.stops.pop(trial.signature)
        if (trial.signature, seed) in self.settled:  # it was at its end when it was told to stop
            return
        event = {
            "event": "stopped",
            **_identity(trial, seed),
            "epoch": epoch,
            "reason": reason,
            "by": "halving",
            "metrics": metrics,
        }
        self.ledger.append(event)
        self.settled.add((trial.signature, seed))
        self.campaign.stop(trial.signature, seed, reason, self.campaign.values(metrics))
        if self.run.exists(f"{trial.seed_folder(seed)}/{STATE}"):
            self.run.delete(f"{trial.seed_folder(seed)}/{STATE}")
        self.progress.total = self.campaign.expected_records
        self.progress.on_stopped(event)


def _identity(trial: Trial, seed: int) -> dict[str, Any]:
    return {"signature": trial.signature, "seed": seed, "config": dict(trial.config), "study": dict(trial.cell)}


def _metrics(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of an epoch's report; None for those that JSON cannot hold."""
    named = {
        name: value for name, value in result.items() if "/" in name or name in ("lr", "epoch_seconds", "domain_gap")
    }
    numbers = {
        name: value for name, value in named.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _last_line(path: str | None) -> str | None:
    if not path:
        return None
    with open(path, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    return lines[-1] if lines else None
