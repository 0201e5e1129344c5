"""trials -> Ray Tune -> worker slots; every report becomes a line in the ledger.

A Tune trial is a thin driver that waits: it holds 0.001 CPU and never a GPU. It has its artifacts made, puts its job on the board and
hands the reports on, so that searchers and schedulers work as ever. The slots' own placement groups carry the real request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune

from sweep.board import DONE, JobBoard
from sweep.broker import ArtifactBroker
from sweep.prepare import FOLDS, TARGET, Data
from sweep.progress import Progress
from sweep.ray_session import Capacity
from sweep.records import Ledger, Record
from sweep.shards.stream import open_dataset
from sweep.slots import SlotSetup, start_slots
from sweep.question import Resources
from sweep.stages import pool_stages
from sweep.storage import Storage
from sweep.trial import RESULT, Attacks, Trial, Work
from sweep.workers import failure

_DRIVER_CPUS = 0.001  # 0 is refused; a driver only waits
_GOODBYE_S = 20  # how long slots may take to end their Train runs


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
    board = JobBoard.remote(launch.resources.max_failures)
    broker = ArtifactBroker.remote(launch.run_url, launch.resources.cpus_per_worker, launch.resources.gpus_per_worker)
    datasets = {name: _materialized(data, name) for name in ("source", "target")}
    setup = SlotSetup(run.url, launch.resources, launch.attempt, datasets, board)
    reuse = launch.resources.reuse_workers
    slots = min(capacity.concurrent_trials, len(launch.trials))
    serving = start_slots(setup, [f"slot-{number}" for number in range(slots)]) if reuse else []
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(TrialDriver, launch=launch, data=data, broker=broker, setup=setup), {"CPU": _DRIVER_CPUS}),
        param_space={"trial": tune.grid_search(list(range(len(launch.trials))))},
        tune_config=tune.TuneConfig(
            # one more than there are slots when workers are reused: a trial that waits for its generator leaves no slot idle
            max_concurrent_trials=slots + 1 if reuse else slots,
            reuse_actors=True,
            trial_name_creator=lambda trial: launch.trials[trial.config["trial"]].signature,
            trial_dirname_creator=lambda trial: launch.trials[trial.config["trial"]].signature,
            time_budget_s=wall_s,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{launch.attempt:04d}",
            storage_path=f"{run.url}/ray",
            callbacks=[RecordCallback(launch.trials, run, ledger, progress)],
            verbose=0,
        ),
    )
    tuner.fit()
    ray.get(board.close.remote())
    ray.wait(serving, num_returns=len(serving), timeout=_GOODBYE_S) if serving else None


def _materialized(data: Data, domain: str) -> ray.data.Dataset:
    """Every image a trial may need of one domain, decoded once into the object store for all trials of a node."""
    folds = [TARGET] if domain == "target" else [fold for fold in FOLDS if fold != TARGET]
    ids = [name for fold in folds for name in data.fold(fold)["image_id"]]
    folder = data.target if domain == "target" else data.source
    return open_dataset(folder, data.image_px, ids, data.fit, data.normals).materialize()


class TrialDriver(tune.Trainable):
    """One Tune trial after another: artifacts first, then the job, then its reports, one a step."""

    def setup(self, config: dict[str, Any], launch: Launch, data: Data, broker: Any, setup: SlotSetup) -> None:
        """Called once per process; `reset_config` gives it the next trial."""
        self._launch, self._data, self._broker, self._slots = launch, data, broker, setup
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
        report = ray.get(self._slots.board.next_report.remote(self._trial.signature))
        if report["kind"] != DONE:
            return report
        self._submitted = False
        return {**report, "done": True}

    def cleanup(self) -> None:
        """Called when the trial is stopped."""
        if self._submitted:
            ray.get(self._slots.board.cancel.remote(self._trial.signature))
            self._submitted = False

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to keep: a seed's training state lies with the run."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing was kept."""

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._trial = self._launch.trials[config["trial"]]
        self._stage, self._pending, self._submitted = "artifacts", [], False

    def _make_artifacts(self) -> dict[str, Any]:
        begin = time.perf_counter()
        try:
            obtained = ray.get([self._broker.ensure.remote(stage) for stage in pool_stages(self._trial.config, self._data).values()])
        except Exception as error:
            reason = failure(getattr(error, "cause", None) or error)
            self._pending = [{"kind": "failed", "seed": seed, **reason} for seed in self._trial.seeds] + [{"kind": DONE, "done": True}]
            return {"kind": "stages", "stages": [], "waited_s": time.perf_counter() - begin}
        self._submit()
        everything = sorted((item for items in obtained for item in items), key=lambda item: item.reused, reverse=True)
        stages = {item.hash: vars(item) for item in everything}  # two pools ask for one generator: the one that made it counts
        return {"kind": "stages", "stages": list(stages.values()), "waited_s": time.perf_counter() - begin}

    def _submit(self) -> None:
        resources, reuse = self._launch.resources, self._launch.resources.reuse_workers
        slot = None if reuse else f"only-{self._trial.signature}"
        work = Work(self._trial, self._launch.attacks, threads=max(1, int(resources.cpus_per_worker)), slot=slot, last=not reuse)
        ray.get(self._slots.board.submit.remote(work))
        self._submitted = True
        if not reuse:
            start_slots(self._slots, [slot])


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
        elif kind == DONE and "failure" in result:
            self._fail_rest(ours, result["failure"], result["reason"])

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A driver returned: whatever its workers finished but could not report is in their folders."""
        ours = self._ours(trial)
        for seed in ours.seeds:
            if (ours.signature, seed) not in self.settled and self.run.exists(f"{ours.seed_folder(seed)}/{RESULT}"):
                self.finish(ours, seed)

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
        self.settled.add((trial.signature, seed))
        self.progress.on_finish(event)

    def _fail_rest(self, trial: Trial, kind: str, reason: str) -> None:
        for seed in trial.seeds:
            if (trial.signature, seed) not in self.settled:
                self._fail(trial, seed, kind, reason)

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
