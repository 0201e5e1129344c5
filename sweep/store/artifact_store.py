"""stage -> artifact: kept under the hash of everything that determines it, computed once across the whole cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sweep.core.hashing import content_hash
from sweep.core.storage import Storage

FOLDER = "artifacts"
META = "meta.json"  # written last: a folder without it is an unfinished computation


@dataclass(frozen=True)
class Stage:
    """One step whose output is kept.

    `inputs` determine the output and make the name; `needs` are computed first. `aside` is what the computation also has to
    know but what changes nothing in its output: where a file lies, how often to look on.
    """

    kind: str
    version: int  # of the code of this stage: raise it when the output changes
    inputs: Mapping[str, Any]
    dependencies: tuple[Stage, ...] = ()
    non_hashed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """Name of the artifact: kind, code version, inputs and the hashes of what it needs."""
        dependencies = [stage.hash for stage in self.dependencies]
        # The keys are part of the hash: renaming one would leave every artifact of earlier versions unfound.
        return content_hash({"kind": self.kind, "version": self.version, "inputs": self.inputs, "needs": dependencies})


def with_dependencies(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Each stage after everything that it needs; what several need comes several times."""
    for stage in stages:
        yield from with_dependencies(stage.dependencies)
        yield stage


class ArtifactStore:
    """Artifacts of one run folder; `device` is where those that are missing are computed."""

    def __init__(self, run: Storage, device: str = "cpu") -> None:
        self.run, self.device = run, device

    def meta(self, stage: Stage) -> dict[str, Any] | None:
        """What was noted with a finished artifact (seconds, facts), or None when there is none."""
        name = f"{self.folder(stage)}/{META}"
        return json.loads(self.run.read(name)) if self.run.exists(name) else None

    def folder(self, stage: Stage) -> str:
        """Folder of an artifact, relative to the run."""
        return f"{FOLDER}/{stage.hash}"

    def read(self, stage: Stage, name: str) -> bytes:
        """One file of a finished artifact."""
        return self.run.read(f"{self.folder(stage)}/{name}")

    def write(self, stage: Stage, name: str, data: bytes | Iterable[bytes]) -> None:
        """One file of an artifact that is being computed, whole or block by block."""
        self.run.write_blocks(f"{self.folder(stage)}/{name}", [data] if isinstance(data, bytes) else data)

    def compute(self, stage: Stage, function: Compute) -> dict[str, Any]:
        """Return the note of a finished artifact, computing it first when there is none.

        `function` writes the artifact's files and returns the facts to note with it; the note, written last, makes it whole.
        """
        found = self.meta(stage)
        if found is not None:
            return found
        begin = time.perf_counter()
        facts = function(stage, self)
        seconds = time.perf_counter() - begin
        meta = {"kind": stage.kind, "version": stage.version, "inputs": dict(stage.inputs), "seconds": seconds, **facts}
        self.run.write(f"{self.folder(stage)}/{META}", json.dumps(meta, indent=1, sort_keys=True).encode())
        return meta


Compute = Callable[[Stage, ArtifactStore], Mapping[str, Any]]
