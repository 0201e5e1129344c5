"""One event <-> one line of the ledger: JSON with a checksum.

The checksum of a line is its last field, `sum`: the first 16 hex digits of the SHA-256 of the bytes before that field, so that a line is
verified without encoding its numbers again. Lines of version 0.1 have the field `crc` instead, computed from the event's canonical JSON;
they are verified in that way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from sweep.core.hashing import canonical_json

KINDS = ("sweep", "ask", "start", "epoch", "finish", "failed", "stopped", "race")
_SUM_DIGITS, _CRC_DIGITS = 16, 8
_SUM, _END, _KIND = b', "sum": "', b'"}', b'"event": "'
_TAIL_BYTES = len(_SUM) + _SUM_DIGITS + len(_END)
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

Event = dict[str, Any]


def signed_line(event: Event) -> bytes:
    """The line of an event, with its checksum and line feed. Raises ValueError for NaN and infinity."""
    body = json.dumps(event, sort_keys=True, allow_nan=False).encode()[:-1]
    return body + f', "sum": "{_sum(body)}"}}\n'.encode()


def read_line(line: bytes, kinds: frozenset[str] = frozenset(KINDS)) -> tuple[list[Event], str | None]:
    """The events of a line that are of these kinds, and what is wrong with it, None for a valid one.

    A line is damaged where a write was cut off. Whole events that follow the cut on the same line (version 0.1 appended them) are
    recovered, each verified by its own checksum.
    """
    try:
        if _is_of_other_kind(line, kinds) and _has_its_sum(line):
            return [], None
        found, damage = [_verified(line)], None
    except _Damaged as reason:
        found, damage = list(_events_after_a_cut(line)), str(reason)
    return [event for event in found if event["event"] in kinds], damage


def _is_of_other_kind(line: bytes, kinds: frozenset[str]) -> bool:
    """Whether a line is surely of another kind: decoding it takes several times as long as its checksum."""
    begin = line.find(_KIND) + len(_KIND)
    if begin < len(_KIND) or line.find(_KIND, begin) >= 0:
        return False
    return line[begin : line.find(b'"', begin)] not in _encoded(kinds)


@lru_cache
def _encoded(kinds: frozenset[str]) -> frozenset[bytes]:
    return frozenset(kind.encode() for kind in kinds)


def _has_its_sum(line: bytes) -> bool:
    end = len(line) - _TAIL_BYTES
    return end >= 0 and line[end:] == _SUM + _sum(line[:end]).encode() + _END


class _Damaged(Exception):
    """Why a line is no valid event."""


def _verified(line: bytes) -> Event:
    valid = _has_its_sum(line)
    try:
        event = _decoded(line)
        kind = event["event"]
        valid = valid or ("sum" not in event and event.pop("crc", None) == _crc(event))
    except _UNREADABLE:
        raise _Damaged("not a whole event") from None
    if not valid:
        raise _Damaged("checksum differs")
    if kind not in KINDS:
        raise _Damaged(f"unknown event {kind!r}")
    event.pop("sum", None)
    return event


def _decoded(line: bytes) -> Any:
    """The JSON value of a line, by orjson, three times as fast as the standard library.

    The latter decides where orjson refuses: it also reads lone surrogates, which file names that are no UTF-8 leave in messages.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _events_after_a_cut(line: bytes) -> Iterator[Event]:
    """The last event of the line, where it begins behind the first byte. An event holds objects, and none of them has its checksum."""
    for begin in re.finditer(rb'\{"', line):
        if begin.start() == 0:
            continue
        try:
            yield _verified(line[begin.start() :])
            return
        except _Damaged:
            continue


def _sum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_SUM_DIGITS]


def _crc(event: Event) -> str:
    return hashlib.sha256(canonical_json(event).encode()).hexdigest()[:_CRC_DIGITS]
