"""One row per metric: every name that records hold has its row, and every row says what a reader and an axis need."""

import json
import math
from pathlib import Path

import pytest

from sweep.core.metric_table import METRIC_TABLE, SPLITS, metric_name, metric_row
from sweep.evaluation.domain_gap import GAPS
from sweep.evaluation.metrics import METRICS

RECORDS = Path(__file__).parents[2] / "fixtures" / "runs" / "finished" / "records" / "0001.jsonl"
EVENTS = [json.loads(line) for line in RECORDS.read_text().splitlines()]


def recorded_metrics(kind):
    return {(name, value) for event in EVENTS if event["event"] == kind for name, value in event["metrics"].items()}


@pytest.mark.parametrize("kind", ["finish", "epoch"])
def test_every_recorded_metric_has_a_row_whose_bounds_hold_its_values(kind):
    for name, value in recorded_metrics(kind):
        row = metric_row(name)
        assert row is not None, name
        assert value is None or row.low <= value <= row.high, name


def test_a_recorded_name_has_the_form_that_its_row_gives():
    for name, _ in recorded_metrics("finish"):
        row = metric_row(name)
        rest = name.removeprefix(row.name)
        split, _, threat = rest.lstrip("/").partition("/")
        assert (rest == "") == (row.form == "alone"), name
        assert row.form == "alone" or split in SPLITS, name
        assert ("@" in threat) == (row.form == "split/threat@epsilon"), name
        assert bool(threat) == row.form.startswith("split/threat"), name


def test_what_is_computed_from_logits_and_the_gaps_have_rows():
    assert {*METRICS, *GAPS} <= {*METRIC_TABLE}


def test_every_row_is_complete():
    for name, row in METRIC_TABLE.items():
        assert row.name == name and row.title and row.describe and row.low < row.high
        assert row.goal in ("maximize", "minimize")
        assert row.unit or not (math.isinf(row.high) and row.form.startswith("split/threat"))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("auroc/target", "auroc"),
        ("auroc/source/Edema", "auroc"),
        ("domain_gap", "domain_gap"),
        ("domain_gap/accuracy", "domain_gap/accuracy"),
        ("domain_gap_vs_real_only", "domain_gap_vs_real_only"),
        ("robust_accuracy/target/pgd20@2/255", "robust_accuracy"),
        ("crossing_epsilon/source/worst", "crossing_epsilon"),
        ("loss/train", "loss"),
    ],
)
def test_a_recorded_name_finds_its_row(name, row):
    assert metric_row(name).name == row


@pytest.mark.parametrize("name", ["aurocs/target", "domain_gap/loss", "lr/target", ""])
def test_an_unknown_name_finds_no_row(name):
    assert metric_row(name) is None


def test_a_name_is_put_together_as_records_hold_it():
    assert metric_name("auroc", "target") == "auroc/target"
    assert metric_name("crossing_epsilon", "source", "worst") == "crossing_epsilon/source/worst"
    assert metric_name("robust_accuracy", "target", "pgd20", "2/255") == "robust_accuracy/target/pgd20@2/255"
    assert {name for name, _ in recorded_metrics("finish")} >= {metric_name("robust_auroc", "source", "worst", "0")}
