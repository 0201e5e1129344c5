"""Job queue, worker group, Tune trials and artifact server on one small Ray of this machine: two configurations, then nothing left."""

import pytest
import ray

from sweep.config.load import load_config
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.execution.campaign_records import CampaignRecords
from sweep.execution.launch import Launch
from sweep.execution.live_table import Progress
from sweep.planning.budget import BudgetTracker
from sweep.planning.plan import attacks_of, make_plan
from sweep.store.ledger import Ledger, read_ledger

CONFIG = """\
name: wiring
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 24}
grid: {lr: [0.001, 0.002]}
fixed: {backbone: small_cnn, epochs: 1, batch_size: 8}
seeds: 1
resources: {max_concurrent_trials: 1}
"""


@pytest.mark.slow  # a submitted job runs a sweep under Ray in the default run
@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_two_trials_share_one_worker_and_the_check_runs_while_it_starts(tmp_path):
    from sweep.execution.ray.run_trials import run_trials
    from sweep.execution.ray.session import ray_session

    (tmp_path / "wiring.yaml").write_text(CONFIG)
    config, run = load_config(tmp_path / "wiring.yaml", {}, False), Storage(tmp_path / "run")
    data = prepare(config.data, run, config.directions)
    plan, ledger, checked = make_plan(config, data, read_ledger(run)), Ledger(run), []
    plan.campaign.log = ledger.append
    records = CampaignRecords(run, ledger, Progress("wiring", 2, ("lr",), ()), plan.campaign, BudgetTracker())
    launch = Launch(attacks_of(config), run.url, config.resources, ledger.attempt)
    with ray_session(None, config.resources) as capacity:
        run_trials(launch, plan, data, capacity, records, lambda: checked.append(ray.is_initialized()))
    assert checked == [True] and not ray.is_initialized()
    reading = read_ledger(run)
    assert len(reading.finished()) == 2 and not reading.failed()
