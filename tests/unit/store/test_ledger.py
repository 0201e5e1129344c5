"""The ledger keeps every whole event and reports every damaged one."""

import pytest

from sweep.core.storage import Storage
from sweep.store.ledger import Ledger, read_ledger


@pytest.fixture
def run(tmp_path):
    return Storage(tmp_path / "run")


def finish(seed, value=0.5):
    return {"event": "finish", "signature": "abc", "seed": seed, "metrics": {"auroc/target": value}}


def test_events_come_back_in_order_over_attempts(run):
    first = Ledger(run)
    first.append(finish(0))
    second = Ledger(run)
    second.append(finish(1))
    assert (first.attempt, second.attempt) == (1, 2)
    assert [event["seed"] for event in Ledger.read(run)] == [0, 1]


def test_the_first_finish_of_a_record_counts(run):
    ledger = Ledger(run)
    ledger.append(finish(0, 0.5))
    ledger.append(finish(0, 0.9))
    assert read_ledger(run).finished()["abc", 0]["metrics"]["auroc/target"] == 0.5


def test_failure_counts_only_without_a_finish(run):
    ledger = Ledger(run)
    for seed in (0, 1):
        ledger.append({"event": "failed", "signature": "abc", "seed": seed, "kind": "FAILED", "reason": "x"})
    ledger.append(finish(1))
    assert list(read_ledger(run).failed()) == [("abc", 0)]


def test_truncating_the_last_line_loses_that_event_only(run):
    ledger = Ledger(run)
    for seed in range(3):
        ledger.append(finish(seed))
    path = run.local / "records" / "0001.jsonl"
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        reading = read_ledger(run)
        assert [event["seed"] for event in reading.events] == [0, 1]
        assert [(damage.file, damage.line) for damage in reading.damages] == [("0001.jsonl", 3)]


def test_a_flipped_byte_is_reported_as_damage(run):
    Ledger(run).append(finish(0, 0.5))
    path = run.local / "records" / "0001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))
    reading = read_ledger(run)
    assert reading.events == [] and reading.damages[0].reason == "checksum differs"


def test_not_a_number_is_never_stored(run):
    with pytest.raises(ValueError):
        Ledger(run).append(finish(0, float("nan")))
    assert Ledger.read(run) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"values": [1.0, 2.5, -3.0, 0.0, -0.0, 1e16, 1e22, 10.0, 1e-7]},
        {"text": "x 1.0, y", "list": "[1.0]", "deep": {"q": 1.0, "r": [{"s": 20.0}]}},
        {"unicode": "ü\u2028", "nothing": None, "flag": True},
    ],
)
def test_every_kind_of_value_keeps_its_checksum_and_a_changed_one_is_damage(tmp_path, payload):
    run = Storage(tmp_path)
    Ledger(run).append({"event": "epoch", **payload})
    assert not read_ledger(run).damages and len(read_ledger(run).events) == 1
    name = next(name for name in run.names("records"))
    run.write(f"records/{name}", run.read(f"records/{name}").replace(b'"attempt": 1', b'"attempt": 2'))
    assert [damage.reason for damage in read_ledger(run).damages] == ["checksum differs"]
