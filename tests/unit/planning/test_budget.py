"""A budget stops launching in time."""

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sweep.config.sweep_config import Resources, SweepConfig
from sweep.core.storage import Storage
from sweep.execution.launch import Launch
from sweep.execution.ray.run_trials import run_trials
from sweep.execution.ray.tune_adapters import CampaignSearcher
from sweep.planning.budget import BudgetTracker, budget_tracker_of, spent_before
from sweep.planning.capacity import Capacity
from sweep.store.ledger import Reading
from sweep.store.run_folder import ENVIRONMENT_FILE, note_overhead
from sweep.store.trial import Attacks
from tests.fakes.campaigns import campaign


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def one_trial(budget_tracker, clock, seconds, name="a"):
    budget_tracker.launched(name)
    clock.now += seconds
    budget_tracker.ended(name)


def test_no_budget_no_limit(clock):
    budget_tracker = BudgetTracker(clock=clock)
    one_trial(budget_tracker, clock, 1e9)
    assert budget_tracker.may_launch()


def test_wall_refuses_a_trial_that_would_not_end_in_time(clock):
    budget_tracker = BudgetTracker(wall_s=100, clock=clock)
    one_trial(budget_tracker, clock, 40)
    assert budget_tracker.may_launch()
    one_trial(budget_tracker, clock, 40)
    assert not budget_tracker.may_launch()
    assert "budget.wall: 1 min 20 s of 1 min 40 s" in budget_tracker.refused


def test_gpu_hours_include_running_trials_and_earlier_attempts(clock):
    budget_tracker = BudgetTracker(gpu_hours=1, gpus=0.5, before_s=3600, clock=clock)  # half an hour is left
    one_trial(budget_tracker, clock, 1200)  # ten minutes of it
    assert budget_tracker.may_launch()
    budget_tracker.launched("b")  # as long as the first, it is assumed
    assert not budget_tracker.may_launch()
    assert "budget.gpu_hours" in budget_tracker.refused


def test_a_refusal_to_launch_is_final(clock):
    budget_tracker = BudgetTracker(gpu_hours=1, gpus=1, clock=clock)
    one_trial(budget_tracker, clock, 1900)
    assert not budget_tracker.may_launch()
    for name in "bcdefg":
        one_trial(budget_tracker, clock, 1, name)
    assert not budget_tracker.may_launch()


def event(kind, seed, second, attempt=1, **facts):
    return {
        "event": kind,
        "signature": "a",
        "seed": seed,
        "attempt": attempt,
        "time": f"2026-01-01T09:00:{second:02d}.000+00:00",
        **facts,
    }


MADE = {"stage": "generator", "hash": "g", "reused": False, "seconds": 30.0}
LEDGER = Reading(
    [
        event("start", 0, 0),
        event("finish", 0, 9, seconds={"total": 8.0}, stages=[MADE]),
        event("start", 1, 10),
        event("epoch", 1, 12),
        event("stopped", 1, 15),
        event("start", 2, 20),
        event("failed", 2, 24),
        event("start", 3, 30),
        event("epoch", 3, 37),  # the driver was killed
        event("start", 3, 40, attempt=2),
        event("finish", 3, 59, attempt=2, seconds={"total": 18.0}, stages=[{**MADE, "reused": True, "seconds": 0.0}]),
    ]
)


def test_what_was_spent_before_counts_however_it_ended():
    assert spent_before(LEDGER, workers=1) == 8 + 5 + 4 + 7 + 18 + 30
    assert spent_before(LEDGER, workers=2) == 8 + 5 + 4 + 7 + 18 + 15, "a generator is made by one worker"


def test_the_budget_comes_from_the_sweep_config():
    section = {"name": "q", "data": {"source": "phantom-a", "target": "phantom-b"}}
    sweep_config = SweepConfig.model_validate(
        {**section, "budget": {"wall": "1.5h", "gpu_hours": 0.05}, "resources": {"workers": 2, "gpus_per_worker": 0.5}}
    )
    budget_tracker = budget_tracker_of(sweep_config, LEDGER)
    assert (budget_tracker.wall_s, budget_tracker.gpu_hours, budget_tracker.gpus, budget_tracker.before_s) == (
        5400,
        0.05,
        1,
        57,
    )
    assert budget_tracker.may_launch() and budget_tracker.farewell is None
    spent = replace(budget_tracker, gpu_hours=None, wall_s=0.0)
    assert spent.farewell.startswith("no more trials were launched: budget.wall: ") and "takes about" not in (
        spent.farewell
    ), "running trials were ended before any had finished"
    budget_tracker.before_s = 180
    assert not budget_tracker.may_launch()
    assert (
        budget_tracker.farewell
        == "no more trials were launched: budget.gpu_hours: 0.05 of 0.05 GPU hours are spent or promised and a trial takes about 0"
    )


def test_a_spent_budget_ends_the_search():
    one = campaign(draws=2)
    searcher = CampaignSearcher(
        one, BudgetTracker(gpu_hours=1, gpus=1, before_s=3600), 4, 0, lambda job: {"trial": job, "stages": []}
    )
    assert searcher.suggest("first") == searcher.FINISHED
    assert CampaignSearcher(one, BudgetTracker(), 4, 0, lambda job: {"trial": job, "stages": []}).suggest("first")[
        "trial"
    ].seeds == (
        0,
        1,
    )


def test_wall_time_ends_tune_too(monkeypatch, tmp_path):
    """The budget is Tune's own limit as well: what runs over it is ended, not only what would begin."""
    seen = {}

    class Tuner:
        def __init__(self, trainable, *, tune_config, run_config):
            seen["budget"] = tune_config.time_budget_s

        def fit(self):
            return None

    class Actor:
        def remote(self, *arguments, **options):
            return None

        def __getattr__(self, name):
            return self

    job_queue = SimpleNamespace(remote=lambda *arguments, **options: Actor())
    stand_ins = {
        "JobQueue": job_queue,
        "ArtifactServer": job_queue,
        "share_images": lambda data: None,
        "wait_for": lambda images: None,
        "WorkerGroupSetup": lambda *parts: SimpleNamespace(job_queue=None),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(f"sweep.execution.ray.run_trials.{name}", stand_in)
    monkeypatch.setattr("sweep.execution.ray.run_trials.ray.get", lambda reference: None)
    monkeypatch.setattr("sweep.execution.ray.run_trials.tune.Tuner", Tuner)
    monkeypatch.setattr("sweep.execution.ray.run_trials.tune.with_parameters", lambda driver, **parts: driver)
    monkeypatch.setattr("sweep.execution.ray.run_trials.tune.with_resources", lambda driver, resources: driver)
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "3")  # a sweep sets it, and this process runs others
    launch, plan = (
        Launch(Attacks(), str(tmp_path), Resources(), 1),
        SimpleNamespace(campaign=campaign(), foreseen=(), trial=None),
    )
    run_trials(
        launch,
        plan,
        None,
        Capacity(2, 0, 2),
        SimpleNamespace(budget_tracker=BudgetTracker(wall_s=90), progress=nullcontext()),
    )
    assert seen == {"budget": 90}


def test_the_cost_of_the_platform_is_noted_and_told(tmp_path):
    run = Storage(tmp_path)
    run.write(ENVIRONMENT_FILE, b'{"cpus": 2}')
    assert note_overhead(run, 10, 2, []) is None
    records = [event("finish", seed, 0, seconds={"total": 5.0}, stages=[{**MADE, "seconds": 4.0}]) for seed in range(2)]
    assert note_overhead(run, 10, 2, records) == "14 s of work for 2 records, and 3 s of start-up and waiting a record"
    facts = json.loads(run.read(ENVIRONMENT_FILE))
    assert facts == {
        "cpus": 2,
        "overhead": {"records": 2, "worker_groups": 2, "wall_s": 10, "work_s": 14.0, "overhead_s_per_record": 3.0},
    }
    assert note_overhead(run, 30, 2, records).endswith("; trials this short hardly need a cluster")
