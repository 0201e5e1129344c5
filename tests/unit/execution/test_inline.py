"""The inline engine's loop with workers that train nothing: artifacts once and in order, failures told, lost processes counted."""

import json

import pytest

from sweep.config.sweep_config import Resources
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.execution.campaign_records import CampaignRecords
from sweep.execution.engines import check_inline
from sweep.execution.inline import _InlineRun
from sweep.execution.inline_tasks import STAGE_DONE, STAGE_FAILED, Lost, StageTask
from sweep.execution.job import DONE
from sweep.execution.launch import Launch
from sweep.execution.live_table import Progress
from sweep.planning.budget import BudgetTracker
from sweep.store.artifact_store import Stage
from sweep.store.ledger import Ledger, read_ledger
from sweep.store.trial import RESULT, Attacks, Trial
from tests.fakes.campaigns import campaign, objective

GENERATOR = Stage("generator", 1, {"seed": 0})
POOL = Stage("pool", 1, {"label": 0}, (GENERATOR,))


class PlayedLaunch(Launch):
    """Every trial with a colorizer needs the same pool."""

    def stages(self, trial, data):
        return [POOL] if trial.config["colorizer"] != "none" else []

    def work(self, trial):
        return super().work(trial)


class PlayedPlan:
    def __init__(self, one):
        self.campaign, self.data = one, None

    def trial(self, job):
        return PlayedTrial(job)


class PlayedTrial(Trial):
    """Named by the campaign."""

    def __init__(self, job):
        super().__init__(job.config, "data", job.seeds, job.cell)
        object.__setattr__(self, "name", job.signature)

    @property
    def signature(self):
        return self.name


class PlayedWorkers:
    """Runs a task at its `wait`, as subprocesses do; `lose` says which tasks lose their process."""

    def __init__(self, run, places=2, lose=lambda task: False, fail_stage=None):
        self.run, self.places, self.lose, self.fail_stage = run, places, lose, fail_stage
        self.held, self.computed, self.most = [], [], 0

    @property
    def free(self):
        return self.places - len(self.held)

    def start(self, task, handler):
        self.held.append(task)
        self.most = max(self.most, len(self.held))

    def wait(self, handler):
        task = self.held.pop(0)
        if self.lose(task):
            handler(task.number, Lost("signal SIGKILL"))
        elif isinstance(task.content, StageTask):
            self.computed.append(task.content.stage.kind)
            if task.content.stage.kind == self.fail_stage:
                reason = {"failure": "DIVERGED", "reason": "loss is nan"}
                handler(task.number, {STAGE_FAILED: reason})
            else:
                handler(task.number, {STAGE_DONE: {"seconds": 2.0, "drawn": 64}})
        else:
            self.train(task, handler)

    def train(self, task, handler):
        trial = task.content.trial
        for seed in trial.seeds:
            for epoch in range(1, trial.config["epochs"] + 1):
                report = {"kind": "epoch", "seed": seed, "epoch": epoch, "score/x": 0.0}
                if not handler(task.number, report | {"auroc/score": objective(trial.config, seed, epoch)}):
                    handler(task.number, {"kind": DONE})
                    return
            result = {
                "signature": trial.signature,
                "seed": seed,
                "config": dict(trial.config),
                "study": dict(trial.cell),
            }
            result |= {"metrics": {"score": objective(trial.config, seed)}, "alarms": [], "seconds": {"total": 1.0}}
            self.run.write(f"{trial.seed_folder(seed)}/{RESULT}", json.dumps(result).encode())
            handler(task.number, {"kind": "finish", "seed": seed})
        handler(task.number, {"kind": DONE})


@pytest.fixture
def played(tmp_path):
    def play(workers=None, budget=None, max_failures=1, **rules):
        run = Storage(tmp_path)
        one, ledger = campaign(**rules), Ledger(run)
        one.log = ledger.append
        records = CampaignRecords(run, ledger, Progress("p", 4, (), ("score",)), one, budget or BudgetTracker())
        launch = PlayedLaunch(Attacks(), run.url, Resources(max_failures=max_failures), 1)
        workers = workers or PlayedWorkers(run)
        _InlineRun(launch, PlayedPlan(one), records, workers, workers.places).to_end()
        return read_ledger(run), workers

    return play


def test_every_record_is_finished_and_shared_artifacts_are_computed_once_in_order(played):
    reading, workers = played()
    assert len(reading.finished()) == 2 * 4 * 2 and not reading.failed()  # cells, draws, seeds
    assert workers.computed == ["generator", "pool"] and workers.most == 2
    stages = [event["stages"] for event in reading.of_kind("finish") if event["study"]["colorizer"] != "none"]
    computed = [{item["stage"] for item in items if not item["reused"]} for items in stages]
    assert (
        computed.count({"generator", "pool"}) == 2 and computed.count(set()) == 6
    )  # two seeds of the trial that asked first
    assert all(item["saved_s"] == 2.0 for items in stages for item in items if item["reused"])


def test_a_failed_artifact_fails_the_trials_that_need_it_with_its_reason_and_no_other(played, tmp_path):
    reading, workers = played(PlayedWorkers(Storage(tmp_path), fail_stage="generator"))
    assert workers.computed == ["generator"]
    failed = reading.failed().values()
    assert len(failed) == 8 and {(event["kind"], event["reason"]) for event in failed} == {("DIVERGED", "loss is nan")}
    assert len(reading.finished()) == 8


def test_a_lost_process_costs_one_attempt(played, tmp_path):
    lost = []

    def once(task):
        lost.append(task.number)
        return len(lost) == 1

    reading, _ = played(PlayedWorkers(Storage(tmp_path), lose=once))
    assert len(reading.finished()) == 16 and not reading.failed()


def test_a_job_that_ends_its_process_each_time_fails_and_no_other_with_it(played, tmp_path):
    poison = []

    def always(task):
        if not isinstance(task.content, StageTask):
            poison.append(task.content.trial.signature)
        return not isinstance(task.content, StageTask) and task.content.trial.signature == poison[0]

    reading, _ = played(PlayedWorkers(Storage(tmp_path), lose=always))
    failed = reading.failed()
    assert set(failed) == {(poison[0], 0), (poison[0], 1)} and len(reading.finished()) == 14
    reasons = {event["reason"] for event in failed.values()}
    assert reasons == {"its worker process died 2 times, at last by signal SIGKILL"}


def test_a_spent_budget_launches_nothing_more(played):
    times = iter(range(0, 10_000, 5))
    reading, _ = played(budget=BudgetTracker(gpu_hours=0.01, gpus=1, clock=lambda: next(times)))
    assert 0 < len(reading.finished()) < 16


def test_several_workers_a_trial_are_refused_with_the_fix():
    with pytest.raises(
        InputError, match=r"resources.workers: .* 2 are asked for; set it to 1, or set resources.engine: ray"
    ):
        check_inline(Resources(workers=2, engine="inline"))
