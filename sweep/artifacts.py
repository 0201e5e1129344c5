"""stage -> artifact: kept under the hash of everything that determines it, computed once across the whole cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.core.hashing import content_hash
from sweep.storage import Storage

FOLDER = "artifacts"
_META = "meta.json"  # written last: a folder without it is an unfinished computation


@dataclass(frozen=True)
class Stage:
    """One step whose output is kept.

    `inputs` determine the output and make the name; `needs` are computed first.
    """

    kind: str
    version: int  # of the code of this stage: raise it when the output changes
    inputs: Mapping[str, Any]
    needs: tuple[Stage, ...] = ()

    @property
    def hash(self) -> str:
        """Name of the artifact: kind, code version, inputs and the hashes of what it needs."""
        needs = [stage.hash for stage in self.needs]
        return content_hash({"kind": self.kind, "version": self.version, "inputs": self.inputs, "needs": needs})


class ArtifactStore:
    """Artifacts of one run folder."""

    def __init__(self, run: Storage) -> None:
        self.run = run

    def meta(self, stage: Stage) -> dict[str, Any] | None:
        """What was noted with a finished artifact (seconds, facts), or None when there is none."""
        name = f"{self.folder(stage)}/{_META}"
        return json.loads(self.run.read(name)) if self.run.exists(name) else None

    def folder(self, stage: Stage) -> str:
        """Folder of an artifact, relative to the run."""
        return f"{FOLDER}/{stage.hash}"

    def read(self, stage: Stage, name: str) -> bytes:
        """One file of a finished artifact."""
        return self.run.read(f"{self.folder(stage)}/{name}")

    def write(self, stage: Stage, files: Mapping[str, bytes], facts: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Keep a finished artifact: its files first, the note that it is whole last."""
        for name, data in files.items():
            self.run.write(f"{self.folder(stage)}/{name}", data)
        meta = {"kind": stage.kind, "version": stage.version, "inputs": dict(stage.inputs), "seconds": seconds, **facts}
        self.run.write(f"{self.folder(stage)}/{_META}", json.dumps(meta, indent=1, sort_keys=True).encode())
        return meta

    def compute(self, stage: Stage, function: Callable[[Stage, ArtifactStore], tuple[dict[str, bytes], dict[str, Any]]]) -> dict[str, Any]:
        """Return the note of a finished artifact, computing it first when there is none."""
        found = self.meta(stage)
        if found is not None:
            return found
        begin = time.perf_counter()
        files, facts = function(stage, self)
        return self.write(stage, files, facts, time.perf_counter() - begin)
