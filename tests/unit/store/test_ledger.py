"""The ledger keeps every whole event and reports every damaged one."""

import errno
import hashlib
import json
import random
import shutil

import pytest

from sweep.core import storage
from sweep.core.errors import InputError
from sweep.core.hashing import canonical_json
from sweep.core.storage import Storage
from sweep.store.ledger import Ledger, read_ledger
from sweep.store.ledger_lines import read_line, signed_line
from sweep.store.run_folder import held


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
        {"reason": "no file caf\udce9.png"},  # a name that is no UTF-8, as Python reads it from the file system
    ],
)
def test_every_kind_of_value_keeps_its_checksum_and_a_changed_one_is_damage(tmp_path, payload):
    run = Storage(tmp_path)
    Ledger(run).append({"event": "epoch", **payload})
    assert not read_ledger(run).damages and payload.items() <= read_ledger(run).events[0].items()
    name = next(name for name in run.names("records"))
    run.write(f"records/{name}", run.read(f"records/{name}").replace(b'"attempt": 1', b'"attempt": 2'))
    assert [damage.reason for damage in read_ledger(run).damages] == ["checksum differs"]


def old_line(event):
    """A line as version 0.1 wrote it: the checksum is of the canonical JSON, in the field `crc`."""
    crc = hashlib.sha256(canonical_json(event).encode()).hexdigest()[:8]
    return (json.dumps({**event, "crc": crc}, sort_keys=True) + "\n").encode()


def whole(seed):
    return {"attempt": 1, "time": "2026-01-01T00:00:00.000+00:00", **finish(seed, 0.5 + seed / 7)}


WRITERS = {"old": old_line, "new": signed_line}


@pytest.mark.parametrize("writer", WRITERS)
def test_no_corruption_gives_a_wrong_number(writer):
    """Every byte of a line changed, removed, repeated or cut behind, and bytes exchanged between two lines."""
    line, other = (WRITERS[writer](whole(seed))[:-1] for seed in (0, 1))
    generator = random.Random(0)
    damaged = [
        damage
        for place in range(len(line))
        for damage in (
            line[:place] + bytes([line[place] ^ 1 << generator.randrange(8)]) + line[place + 1 :],
            line[:place] + line[place + 1 :],
            line[:place] + line[place : place + 1] + line[place:],
            line[:place],
            line[:place] + other[place:],
            line[:place] + b"7" + line[place + 1 :],
        )
        if damage not in (line, other, b"")
    ]
    assert len(damaged) > 800
    allowed = [whole(0), whole(1)]
    for content in damaged:
        events, _ = read_line(content)  # a space removed from an old line changes nothing; whole events are recovered
        assert all(event in allowed for event in events), content
    assert [read_line(content) for content in (line, other)] == [([event], None) for event in allowed]


@pytest.mark.parametrize("writer", WRITERS)
def test_an_event_behind_a_torn_line_is_recovered(run, writer):
    torn = WRITERS[writer](whole(0))[:60]
    run.write("records/0001.jsonl", torn + WRITERS[writer](whole(1)) + WRITERS[writer](whole(2)))
    reading = read_ledger(run)
    assert [event["seed"] for event in reading.events] == [1, 2]
    assert [(damage.line, damage.reason) for damage in reading.damages] == [(1, "not a whole event")]


UNREADABLE = {
    "a number beyond floats": b'{"event": "finish", "seed": 1e999, "crc": "00000000"}',
    "open brackets": b"[" * 100_000,
    "deep nesting": b'{"event": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "NaN": b'{"event": "epoch", "seed": NaN, "crc": "00000000"}',
    "no object": b'"event"',
    "a list": b'["event"]',
    "an event that is a list": b'{"event": ["finish"]}',
    "bytes that are no UTF-8": b'{"event": "finish\xff\xfe"}',
    "half a surrogate": b'{"event": "finish", "text": "\\ud800", "crc": "1"}',
    "many digits": b'{"event": "finish", "seed": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("line", UNREADABLE)
def test_a_line_that_cannot_be_verified_is_damage_and_its_neighbours_are_read(run, line):
    run.write("records/0001.jsonl", signed_line(whole(0)) + UNREADABLE[line] + b"\n" + signed_line(whole(1)))
    reading = read_ledger(run)
    assert [event["seed"] for event in reading.events] == [0, 1]
    assert [damage.line for damage in reading.damages] == [2]


def test_attempts_and_segments_beyond_their_digits_stay_in_order(run):
    for name, seed in {"9999": 0, "10000-000002": 2, "10000-1000001": 3, "10000-000001": 1, "12000": 4}.items():
        run.write(f"records/{name}.jsonl", signed_line(whole(seed)))
    run.write("records/notes.jsonl", b"not of the ledger")
    assert [event["seed"] for event in read_ledger(run).events] == [0, 1, 2, 3, 4]
    assert Ledger(run).attempt == 12001 and not read_ledger(run).damages


def test_a_full_disk_loses_the_event_that_it_refused_and_no_other(run, monkeypatch):
    ledger, write = Ledger(run), storage._write_whole

    def full(stream, data):
        stream.write(data[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    ledger.append(finish(0))
    monkeypatch.setattr(storage, "_write_whole", full)
    with pytest.raises(
        InputError, match=r"records: the ledger cannot be written \(No space left on device\); .* make room"
    ):
        ledger.append(finish(1))
    monkeypatch.setattr(storage, "_write_whole", write)
    ledger.append(finish(2))
    reading = read_ledger(run)
    assert [event["seed"] for event in reading.events] == [0, 2] and reading.damages == []


@pytest.mark.parametrize("again", [True, False], ids=["made again", "removed"])
def test_a_driver_writes_nothing_into_a_folder_that_replaced_its_own(run, again):
    run.local.mkdir()
    with held(run) as still_ours:
        ledger = Ledger(run, still_ours)
        ledger.append(finish(0))
        shutil.rmtree(run.local)
        if again:
            run.local.mkdir()
            (run.local / "driver.lock").write_text("process 7 on elsewhere")
        with pytest.raises(InputError, match="was removed or replaced while this sweep ran"):
            ledger.append(finish(1))
    assert not (run.local / "records").exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_lines_of_kinds_that_are_not_asked_for_are_verified_all_the_same(run, writer):
    lines = [WRITERS[writer](whole(seed) | {"event": kind}) for seed, kind in enumerate(("start", "finish", "epoch"))]
    run.write("records/0001.jsonl", lines[0] + lines[1] + lines[2].replace(b'"seed": 2', b'"seed": 3'))
    reading = read_ledger(run, ("finish",))
    assert [event["seed"] for event in reading.events] == [1]
    assert [(damage.line, damage.reason) for damage in reading.damages] == [(3, "checksum differs")]
