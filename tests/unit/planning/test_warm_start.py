"""Earlier sweeps as results to learn from: means over seeds, and a run that is not there is refused."""

import pytest

from sweep.config.hyperparameters import complete
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.planning.warm_start import earlier_results
from sweep.store.ledger import Ledger

CONFIGS = {name: complete({"lr": lr}) for name, lr in (("a", 1e-2), ("b", 1e-3), ("c", 1e-4), ("d", 1e-5))}


def finish(signature, seed, **metrics):
    config = CONFIGS[signature]
    return {"event": "finish", "signature": signature, "seed": seed, "config": config, "metrics": metrics}


@pytest.fixture
def run(tmp_path):
    ledger = Ledger(Storage(tmp_path / "run"))
    for event in (
        finish("a", 0, auroc=0.5, gap=0.1),
        finish("a", 1, auroc=0.75, gap=None),
        finish("b", 0, auroc=0.25),
        {"event": "stopped", "signature": "c", "seed": 0, "config": CONFIGS["c"], "metrics": {"auroc": 0.9}},
        {"event": "failed", "signature": "d", "seed": 0, "config": CONFIGS["d"]},
    ):
        ledger.append(event)
    return tmp_path / "run"


def test_each_configuration_once_with_its_means(run):
    found = earlier_results([run], ["auroc", "gap"])
    assert found == [(CONFIGS["a"], [0.625, 0.1]), (CONFIGS["b"], [0.25, None])]


def test_several_runs_in_order(run):
    assert [config["lr"] for config, _ in earlier_results([run, str(run)], ["auroc"])] == [1e-2, 1e-3, 1e-2, 1e-3]
    assert earlier_results([], ["auroc"]) == []


def test_a_run_without_records_is_refused(run, tmp_path):
    with pytest.raises(
        InputError, match=r"searcher\.warm_start: .*nowhere holds no records; name the folder of a sweep that ran"
    ):
        earlier_results([run, tmp_path / "nowhere"], ["auroc"])
