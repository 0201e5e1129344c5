"""trials -> Ray Tune -> Ray Train worker groups; every report becomes a line in the ledger.

A Tune trial is a driver that waits: it holds 0.001 CPU and never a GPU. Its Train workers' own placement group carries the request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import train, tune
from ray.tune.integration.ray_train import TuneReportCallback

from sweep.broker import ArtifactBroker
from sweep.prepare import FOLDS, TARGET, Data
from sweep.progress import Progress
from sweep.ray_session import Capacity
from sweep.records import Ledger, Record
from sweep.shards.stream import open_dataset
from sweep.space import Resources
from sweep.stages import pool_stages
from sweep.storage import Storage
from sweep.trial import RESULT, Attacks, Trial, Work
from sweep.workers import failure, train_worker

_DRIVER_CPUS = 0.001  # 0 is refused; a driver only waits
RAY_FOLDER = "ray"


@dataclass(frozen=True)
class Launch:
    """What every trial driver is handed."""

    trials: tuple[Trial, ...]
    attacks: Attacks
    run_url: str
    resources: Resources
    attempt: int


def run_trials(launch: Launch, data: Data, capacity: Capacity, ledger: Ledger, progress: Progress, wall_s: float | None) -> None:
    """Run every trial's missing seeds; returns when all are settled or the wall time is spent."""
    run = Storage(launch.run_url)
    datasets = {name: _materialized(data, name) for name in ("source", "target")}
    broker = ArtifactBroker.remote(launch.run_url, launch.resources.cpus_per_worker, launch.resources.gpus_per_worker)
    driver = tune.with_parameters(_drive_trial, launch=launch, data=data, datasets=datasets, broker=broker)
    tuner = tune.Tuner(
        tune.with_resources(driver, {"CPU": _DRIVER_CPUS}),
        param_space={"trial": tune.grid_search(list(range(len(launch.trials))))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=capacity.concurrent_trials,
            trial_name_creator=lambda trial: launch.trials[trial.config["trial"]].signature,
            trial_dirname_creator=lambda trial: launch.trials[trial.config["trial"]].signature,
            time_budget_s=wall_s,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{launch.attempt:04d}",
            storage_path=f"{run.url}/{RAY_FOLDER}",
            callbacks=[RecordCallback(launch.trials, run, ledger, progress)],
            verbose=0,
        ),
    )
    tuner.fit()


def _materialized(data: Data, domain: str) -> ray.data.Dataset:
    """Every image a trial may need of one domain, decoded once into the object store for all trials of a node."""
    folds = [TARGET] if domain == "target" else [fold for fold in FOLDS if fold != TARGET]
    ids = [name for fold in folds for name in data.fold(fold)["image_id"]]
    folder = data.target if domain == "target" else data.source
    return open_dataset(folder, data.image_px, ids, data.fit, data.normals).materialize()


def _drive_trial(config: Mapping[str, Any], *, launch: Launch, data: Data, datasets: Mapping[str, Any], broker: Any) -> None:
    """One Tune trial: have its artifacts, then run its worker group."""
    from ray.train.torch import TorchTrainer

    trial = launch.trials[config["trial"]]
    begin = time.perf_counter()
    try:
        obtained = ray.get([broker.ensure.remote(stage) for stage in pool_stages(trial.config, data).values()])
    except Exception as error:
        cause = getattr(error, "cause", None) or error
        for seed in trial.seeds:
            tune.report({"kind": "failed", "signature": trial.signature, "seed": seed, **failure(cause)})
        return
    stages = list({item.hash: item for items in obtained for item in items}.values())
    tune.report({"kind": "stages", "stages": [vars(item) for item in stages], "waited_s": time.perf_counter() - begin})
    resources = launch.resources
    TorchTrainer(
        train_worker,
        train_loop_config={"work": Work(trial, launch.attacks, launch.run_url, threads=max(1, int(resources.cpus_per_worker)))},
        scaling_config=train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=_per_worker(resources),
        ),
        run_config=train.RunConfig(
            name=trial.signature,
            storage_path=f"{launch.run_url}/{RAY_FOLDER}/train",
            callbacks=[TuneReportCallback()],
            failure_config=train.FailureConfig(max_failures=resources.max_failures),
            checkpoint_config=train.CheckpointConfig(num_to_keep=1),
        ),
        datasets=dict(datasets),
        dataset_config=train.DataConfig(datasets_to_split=[]),
    ).fit()


def _per_worker(resources: Resources) -> dict[str, float]:
    asked = {"CPU": resources.cpus_per_worker}
    return asked | ({"GPU": resources.gpus_per_worker} if resources.gpus_per_worker else {})


@dataclass
class RecordCallback(tune.Callback):
    """Tune's reports -> ledger events and the live table. The only writer of the ledger."""

    trials: Sequence[Trial]
    run: Storage
    ledger: Ledger
    progress: Progress
    stages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    settled: set[Record] = field(default_factory=set)
    started: set[Record] = field(default_factory=set)

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

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A driver returned: whatever its workers finished but could not report is in their folders."""
        ours = self._ours(trial)
        for seed in ours.seeds:
            if (ours.signature, seed) not in self.settled and self.run.exists(f"{ours.seed_folder(seed)}/{RESULT}"):
                self.finish(ours, seed)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A driver raised: its workers died more often than allowed, or could not start."""
        self.on_trial_complete(iteration, trials, trial)
        ours = self._ours(trial)
        reason = _last_line(trial.error_file) or "the trial's workers ended without a word"
        for seed in ours.seeds:
            if (ours.signature, seed) not in self.settled:
                self._fail(ours, seed, "FAILED", reason)

    def finish(self, trial: Trial, seed: int) -> None:
        """Take a finished seed's result into the ledger, once."""
        if (trial.signature, seed) in self.settled:
            return
        self._start(trial, seed)
        result = json.loads(self.run.read(f"{trial.seed_folder(seed)}/{RESULT}"))
        event = self.ledger.append({"event": "finish", **result, "stages": self.stages.get(trial.signature, [])})
        self.settled.add((trial.signature, seed))
        self.progress.on_finish(event)

    def _ours(self, trial: Any) -> Trial:
        return self.trials[trial.config["trial"]]

    def _start(self, trial: Trial, seed: int) -> None:
        if (trial.signature, seed) not in self.started:
            self.started.add((trial.signature, seed))
            self.ledger.append({"event": "start", **_identity(trial, seed)})

    def _epoch(self, trial: Trial, result: Mapping[str, Any]) -> None:
        seed = result["seed"]
        self._start(trial, seed)
        metrics = {name: value for name, value in result.items() if "/" in name or name in ("lr", "epoch_seconds")}
        self.ledger.append({"event": "epoch", "signature": trial.signature, "seed": seed, "epoch": result["epoch"], "metrics": _storable(metrics)})
        self.progress.on_epoch(trial.signature, seed, trial.config, {"epoch": result["epoch"], **metrics})

    def _fail(self, trial: Trial, seed: int, kind: str, reason: str) -> None:
        self._start(trial, seed)
        event = self.ledger.append({"event": "failed", **_identity(trial, seed), "kind": kind, "reason": reason})
        self.settled.add((trial.signature, seed))
        self.progress.on_failed(event)


def _identity(trial: Trial, seed: int) -> dict[str, Any]:
    return {"signature": trial.signature, "seed": seed, "config": dict(trial.config), "study": dict(trial.cell)}


def _storable(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float)) and not isinstance(value, bool)}
    return {name: value if value == value and abs(value) != float("inf") else None for name, value in numbers.items()}


def _last_line(path: str | None) -> str | None:
    if not path:
        return None
    with open(path, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    return lines[-1] if lines else None
