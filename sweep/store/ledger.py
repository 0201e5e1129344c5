"""events -> ledger -> events: the append-only source of a run's results, for resume and for analysis.

One JSON event a line under `records/`, each with a checksum (`ledger_lines`). Kinds: sweep (objectives, sizes and defaults of an
attempt), ask (a configuration was sampled), start, epoch, finish, failed, stopped (early), race (why a configuration gets no more seeds).
A configuration is named by its signature; (signature, seed) names a record. Every driver attempt writes files of its own, so a written
line is never edited.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from sweep.core.errors import InputError, suggestion
from sweep.core.storage import Storage
from sweep.store.ledger_lines import KINDS, Event, read_line, signed_line

FOLDER = "records"
_FILE = re.compile(r"(\d+)(?:-(\d+))?\.jsonl")  # attempt, and segment where the storage cannot append
_URGENT = (
    "sweep",
    "finish",
    "failed",
    "stopped",
    "race",
)  # written at once: a driver that is killed must not lose them
_HELD_S = 15  # how long other events wait for the next segment where storage cannot append

Record = tuple[str, int]  # signature, seed


@dataclass(frozen=True)
class Damage:
    """One line that is not valid: file, line number and reason."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Reading:
    """The valid events of a ledger in order, and its damaged lines."""

    events: list[Event]
    damages: list[Damage] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Event]:
        """The events of one kind, in order."""
        return self._by_kind.get(kind, [])

    @cached_property
    def _by_kind(self) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event["event"], []).append(event)
        return found

    def finished(self) -> dict[Record, Event]:
        """The finish event of every finished record; the first one where there are several."""
        return dict(self._finished)

    @cached_property
    def _finished(self) -> dict[Record, Event]:
        done: dict[Record, Event] = {}
        for event in self.of_kind("finish"):
            done.setdefault((event["signature"], event["seed"]), event)
        return done

    def failed(self) -> dict[Record, Event]:
        """The last failure of every record that failed and never finished."""
        done = self.finished()
        failures = {(event["signature"], event["seed"]): event for event in self.of_kind("failed")}
        return {record: event for record, event in failures.items() if record not in done}

    def stopped(self) -> dict[Record, Event]:
        """The event of every record that was stopped early."""
        return {(event["signature"], event["seed"]): event for event in self.of_kind("stopped")}


class Ledger:
    """Appends events: one object per driver attempt. `still_ours` is called before each write and raises once another driver has the run."""

    def __init__(self, run: Storage, still_ours: Callable[[], None] = lambda: None) -> None:
        self._run, self._still_ours = run, still_ours
        self.attempt = max((attempt for attempt, _, _ in _files(run)), default=0) + 1
        self._segment = 0
        self._held: list[bytes] = []
        self._held_since = time.monotonic()

    def append(self, event: Event) -> Event:
        """Stamp, sign and store one event; returns it as stored. Raises InputError when the storage cannot be written."""
        event = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "attempt": self.attempt, **event}
        line = signed_line(event)
        if self._run.local is not None:
            self._still_ours()
        with self._writing():
            appended = self._run.append(f"{FOLDER}/{self.attempt:04d}.jsonl", line)
        if not appended:
            self._hold(line, event["event"] in _URGENT)
        return event

    def flush(self) -> None:
        """Write the held events as one immutable segment: an object store cannot append. Raises InputError when it cannot be written."""
        if self._held:
            self._still_ours()
            name = f"{FOLDER}/{self.attempt:04d}-{self._segment + 1:06d}.jsonl"
            with self._writing():
                self._run.write(name, b"".join(self._held))
            self._segment += 1
            self._held.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                self._run.address(FOLDER),
                f"the ledger cannot be written ({error.strerror or error})",
                "nothing written before is lost: make room or restore the rights, then run the same command, which resumes",
            ) from error

    def _hold(self, line: bytes, urgent: bool) -> None:
        if not self._held:
            self._held_since = time.monotonic()
        self._held.append(line)
        if urgent or time.monotonic() - self._held_since > _HELD_S:
            self.flush()

    @staticmethod
    def read(run: Storage | str | Path) -> list[Event]:
        """All valid events of a run, oldest first."""
        return read_ledger(run).events


def read_ledger(run: Storage | str | Path, kinds: Iterable[str] = KINDS) -> Reading:
    """Read the events of these kinds from every ledger file of a run; damaged lines are reported and ignored.

    So is an incomplete last line, which a killed driver may leave. Lines of other kinds are verified all the same.
    """
    storage = run if isinstance(run, Storage) else Storage(run)
    events: list[Event] = []
    damages: list[Damage] = []
    wanted = frozenset(kinds)
    with no_collection():
        for _, _, name in _files(storage):
            for number, line in enumerate(storage.read(f"{FOLDER}/{name}").split(b"\n"), start=1):
                if not (line := line.strip()):
                    continue
                found, problem = read_line(line, wanted)
                events += found
                if problem is not None:
                    damages.append(Damage(name, number, problem))
    return Reading(events, damages)


def finished_record(run: Storage, signature: str, seed: int) -> Event:
    """The finish event of a record. Raises InputError when there is none, naming what there is."""
    finished = read_ledger(run).finished()
    if not finished:
        raise InputError(run.url, "holds no finished record", "name the folder of a sweep that ran")
    if (signature, seed) in finished:
        return finished[signature, seed]
    seeds = [other for name, other in finished if name == signature]
    if seeds:
        raise InputError(
            f"{run.url}, {signature}",
            f"seed {seed} has not finished",
            f"seeds that have: {', '.join(map(str, sorted(seeds)))}",
        )
    raise InputError(
        f"{run.url}, {signature}", "no such finished trial", suggestion(signature, {name for name, _ in finished})
    )


@contextmanager
def no_collection() -> Iterator[None]:
    """Without garbage collection, which finds no cycles among the new objects: a large ledger is read in five sixths of the time."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _files(storage: Storage) -> list[tuple[int, int, str]]:
    """Attempt, segment (0 without) and name of every ledger file, in the order in which they were written."""
    found = ((_FILE.fullmatch(name), name) for name in storage.names(FOLDER))
    return sorted((int(match[1]), int(match[2] or 0), name) for match, name in found if match)
