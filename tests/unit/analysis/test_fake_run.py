"""The fake run folder is what the product would write: its settings, metric names, signatures and ledger."""

import itertools

import pytest

from sweep.config.hyperparameters import complete
from sweep.core.metric_table import SPLITS, metric_row
from sweep.evaluation.domain_gap import GAPS
from sweep.evaluation.metrics import DIAGNOSTICS, METRICS
from sweep.store.ledger import read_ledger
from sweep.store.trial import Trial
from tests.fakes.run_folder import DATA_HASH, EPS, THREATS


@pytest.fixture(scope="module")
def ledger(run_folder):
    return read_ledger(run_folder)


def test_its_ledger_is_sound_and_has_every_kind_of_event_that_a_finished_run_has(ledger):
    assert ledger.damages == []
    assert {event["event"] for event in ledger.events} == {"sweep", "start", "epoch", "finish", "failed"}


def test_configurations_are_complete_and_hold_settings_without_a_value(ledger):
    for event in ledger.finished().values():
        assert event["config"] == complete(event["config"])
        assert event["signature"] == Trial(event["config"], DATA_HASH, (0,)).signature
    empty = {name for event in ledger.finished().values() for name, value in event["config"].items() if value is None}
    assert {"weights", "train_images"} <= empty


def test_metrics_are_those_that_evaluation_and_attacks_record(ledger):
    clean = {f"{metric}/{split}" for metric, split in itertools.product((*METRICS, *DIAGNOSTICS), SPLITS)} | set(GAPS)
    levels = [f"{threat}@{eps}" for threat, eps in itertools.product((*THREATS, "worst"), ("0", *EPS))]
    attacked = {
        f"{name}/{split}/{at}" for name in ("robust_accuracy", "robust_auroc") for split in SPLITS for at in levels
    }
    breaking = {
        f"{name}/{split}/{threat}"
        for name in ("median_breaking_epsilon", "crossing_epsilon")
        for split in SPLITS
        for threat in (*THREATS, "worst")
    }
    for event in ledger.finished().values():
        assert set(event["metrics"]) == clean | attacked | breaking
        assert all(metric_row(name) for name in event["metrics"])
