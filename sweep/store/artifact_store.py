"""Artifacts: outputs of stages, stored under the hash of everything that determines them and computed once per run."""

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

    `inputs` determine the output and are hashed; `dependencies` are computed first. `non_hashed` are settings of the computation that do
    not change its output: the location of a file, how often progress is checked.
    """

    kind: str
    version: int  # of the code of this stage: raise it when the output changes
    inputs: Mapping[str, Any]
    dependencies: tuple[Stage, ...] = ()
    non_hashed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """Name of the artifact: hash of kind, code version, inputs and the hashes of the dependencies."""
        dependencies = [stage.hash for stage in self.dependencies]
        # The keys are part of the hash: renaming one would leave every artifact of earlier versions unfound.
        return content_hash({"kind": self.kind, "version": self.version, "inputs": self.inputs, "needs": dependencies})


def with_dependencies(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Each stage after its dependencies; shared dependencies are repeated."""
    for stage in stages:
        yield from with_dependencies(stage.dependencies)
        yield stage


class ArtifactStore:
    """Artifacts of one run folder; missing ones are computed on `device`."""

    def __init__(self, run: Storage, device: str = "cpu") -> None:
        self.run, self.device = run, device

    def meta(self, stage: Stage) -> dict[str, Any] | None:
        """The metadata of a finished artifact (seconds, facts), or None when there is none."""
        name = f"{self.folder(stage)}/{META}"
        return json.loads(self.run.read(name)) if self.run.exists(name) else None

    def folder(self, stage: Stage) -> str:
        """Folder of an artifact, relative to the run."""
        return f"{FOLDER}/{stage.hash}"

    def read(self, stage: Stage, name: str) -> bytes:
        """One file of a finished artifact."""
        return self.run.read(f"{self.folder(stage)}/{name}")

    def write(self, stage: Stage, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write one file of an artifact that is being computed, whole or block by block."""
        self.run.write_blocks(f"{self.folder(stage)}/{name}", [data] if isinstance(data, bytes) else data)

    def compute(self, stage: Stage, function: Compute) -> dict[str, Any]:
        """Return the metadata of an artifact, computing it first when there is none.

        `function` writes the artifact's files and returns facts for the metadata, which are written last and mark the artifact finished.
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
