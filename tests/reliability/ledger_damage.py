"""Cut and flipped ledgers: every whole event is read, nothing is read that was not written."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sweep.core.seeds import rng
from sweep.store.ledger import Reading, read_ledger
from tests.fakes.run_folder import FakeSweep, ledger_file, write_fake_run
from tests.reliability.rows import Row

_SMALL = FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), images=4, seeds=2, gallery=False)


@cache
def _whole() -> tuple[bytes, list[dict]]:
    """The bytes and events of an undamaged ledger."""
    with tempfile.TemporaryDirectory() as folder:
        run = write_fake_run(Path(folder) / "run", _SMALL)
        return ledger_file(run).read_bytes(), read_ledger(run).events


def _read(content: bytes, folder: Path) -> Reading:
    (folder / "records").mkdir()
    (folder / "records" / "0001.jsonl").write_bytes(content)
    return read_ledger(folder)


def cut(number: int, folder: Path) -> None:
    """The file ends at a random byte."""
    whole, events = _whole()
    end = int(rng(number, "cut").integers(1, len(whole)))
    reading = _read(whole[:end], folder)
    complete = whole[:end].count(b"\n") + (whole[end : end + 1] == b"\n")
    assert reading.events == events[:complete], f"cut at byte {end}"
    assert len(reading.damages) == (whole[end - 1 : end] != b"\n" and whole[end : end + 1] != b"\n")


def flip(number: int, folder: Path) -> None:
    """One bit of a random byte is changed."""
    whole, events = _whole()
    draw = rng(number, "flip")
    place, bit = int(draw.integers(len(whole))), int(draw.integers(8))
    reading = _read(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :], folder)
    assert all(event in events for event in reading.events), (
        f"bit {bit} of byte {place} gave an event that was not written"
    )
    assert len(reading.events) >= len(events) - 2 and reading.damages, f"bit {bit} of byte {place}"


ROWS = (
    Row(
        "R6-cuts", "ledger cut at any byte: every whole event is read, the torn one is reported", 500, 500, 5, cut, 500
    ),
    Row(
        "R6-flips", "one bit of the ledger flipped: never a wrong number, the line is reported", 200, 200, 5, flip, 200
    ),
)
