"""What Tune is given can be pickled, which it does while a sweep runs, and asks the campaign in the right order."""

import pickle
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweep.core.storage import Storage
from sweep.execution.campaign_records import CampaignRecords
from sweep.execution.live_table import Progress
from sweep.execution.ray.tune_adapters import CampaignScheduler, CampaignSearcher, RecordCallback
from sweep.planning.budget import BudgetTracker
from sweep.store.ledger import Ledger
from tests.fakes.campaigns import campaign


@pytest.fixture
def records(tmp_path):
    run = Storage(tmp_path)
    return CampaignRecords(run, Ledger(run), Progress("p", 4, (), ()), campaign(), BudgetTracker())


def test_what_tune_pickles_can_be_pickled(records):
    assert type(pickle.loads(pickle.dumps(CampaignScheduler(records)))) is FIFOScheduler
    assert type(pickle.loads(pickle.dumps(RecordCallback(records)))) is Callback


def test_the_scheduler_stops_what_the_campaign_stops(monkeypatch, records):
    trial = SimpleNamespace(config={"trial": SimpleNamespace(signature="a")})
    report = {"kind": "epoch", "seed": 0, "epoch": 1, "score/target": 0.1}
    asked = []

    def decision(reason):
        monkeypatch.setattr(records.campaign, "report", lambda *given: asked.append(given) or reason)
        return CampaignScheduler(records).on_trial_result(None, trial, report)

    assert (decision(None), decision("not in the top third")) == (TrialScheduler.CONTINUE, TrialScheduler.STOP)
    assert asked[0] == ("a", 0, 1, {"score/target": 0.1})


def test_the_searcher_hands_out_no_more_trials_than_its_limit():
    searcher = CampaignSearcher(campaign(), BudgetTracker(), 2, 0, lambda job: {"trial": job, "stages": []})
    assert searcher.suggest("a") and searcher.suggest("b") and searcher.suggest("c") is None
    searcher.on_trial_complete("a")
    assert searcher.suggest("c") is not None


@pytest.mark.parametrize("stages", [[], ["a generator"]])
def test_a_spare_trial_waits_for_the_first_report_unless_artifacts_are_waited_for(stages):
    searcher = CampaignSearcher(campaign(), BudgetTracker(), 1, 1, lambda job: {"trial": job, "stages": stages})
    assert searcher.suggest("a") and (searcher.suggest("b") is not None) == bool(stages)
    searcher.on_trial_result("a", {"kind": "stages"})
    assert stages or searcher.suggest("b") is not None
    assert searcher.suggest("c") is None
