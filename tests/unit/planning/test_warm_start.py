"""Earlier sweeps as results to learn from: means over seeds, and a run that is not there is refused."""

import pytest

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.planning.warm_start import earlier_results
from sweep.store.ledger import Ledger


def finish(signature, seed, **metrics):
    return {"event": "finish", "signature": signature, "seed": seed, "config": {"lr": signature}, "metrics": metrics}


@pytest.fixture
def run(tmp_path):
    ledger = Ledger(Storage(tmp_path / "run"))
    for event in (
        finish("a", 0, auroc=0.5, gap=0.1),
        finish("a", 1, auroc=0.75, gap=None),
        finish("b", 0, auroc=0.25),
        {"event": "stopped", "signature": "c", "seed": 0, "config": {"lr": "c"}, "metrics": {"auroc": 0.9}},
        {"event": "failed", "signature": "d", "seed": 0, "config": {"lr": "d"}},
    ):
        ledger.append(event)
    return tmp_path / "run"


def test_each_configuration_once_with_its_means(run):
    assert earlier_results([run], ["auroc", "gap"]) == [({"lr": "a"}, [0.625, 0.1]), ({"lr": "b"}, [0.25, None])]


def test_several_runs_in_order(run):
    assert [config["lr"] for config, _ in earlier_results([run, str(run)], ["auroc"])] == ["a", "b", "a", "b"]
    assert earlier_results([], ["auroc"]) == []


def test_a_run_without_records_is_refused(run, tmp_path):
    with pytest.raises(
        InputError, match=r"searcher\.warm_start: .*nowhere holds no records; name the folder of a sweep that ran"
    ):
        earlier_results([run, tmp_path / "nowhere"], ["auroc"])
